// expect: no member named .?close
#include <runnel/channel.hpp>

void closes(runnel::send_channel<int>& sender, runnel::receive_channel<int>& receiver) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  receiver.close();
#endif
  sender.close();
  static_cast<void>(receiver.receive());
}
