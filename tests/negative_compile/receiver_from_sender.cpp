// expect: no viable conversion|conversion from .*send_channel
#include <runnel/channel.hpp>

void turns(const runnel::channel<int>& both, const runnel::send_channel<int>& sender) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::receive_channel<int> turned = sender;
#endif
  runnel::receive_channel<int> receiver = both;
  runnel::send_channel<int> copy = sender;
  static_cast<void>(receiver == both);
  copy.close();
}
