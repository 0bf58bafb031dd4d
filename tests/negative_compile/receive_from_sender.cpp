// expect: no member named .?receive
#include <runnel/channel.hpp>

void receives(runnel::send_channel<int>& sender, runnel::receive_channel<int>& receiver) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  sender.receive();
#endif
  sender.send(1);
  static_cast<void>(receiver.receive());
}
