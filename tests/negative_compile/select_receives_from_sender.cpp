// expect: no matching function for call to .?on_receive
#include <runnel/select.hpp>

void selects(runnel::send_channel<int>& sender, runnel::receive_channel<int>& receiver, std::optional<int>& out) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::select(runnel::on_receive(sender, out));
#endif
  runnel::select(runnel::on_receive(receiver, out), runnel::on_send(sender, 1));
}
