// expect: takes a function that supplies the value
#include <runnel/select.hpp>

void selects(runnel::send_channel<int>& sender) {
  runnel::selector s;
#ifndef RUNNEL_NEGATIVE_CONTROL
  s.add(runnel::on_send(sender, 1));
#endif
  s.add(runnel::on_send(sender, [] { return 1; }));
  s.run();
}
