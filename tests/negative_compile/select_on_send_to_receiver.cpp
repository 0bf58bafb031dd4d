// expect: no matching function|constraints not satisfied
#include <runnel/select.hpp>

void offers(runnel::send_channel<int>& tx, runnel::receive_channel<int>& rx) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  select(runnel::on_send(rx, 1));
#endif
  select(runnel::on_send(tx, 1), runnel::on_receive(rx));
}
