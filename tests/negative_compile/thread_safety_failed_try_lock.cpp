// expect: requires holding mutex
#include <runnel/sync/mutex.hpp>

struct account {
  runnel::mutex m;
  int balance RUNNEL_GUARDED_BY(m) = 0;
};

void pay(account& a) {
  if (!a.m.try_lock()) {
#ifndef RUNNEL_NEGATIVE_CONTROL
    ++a.balance;
#endif
    return;
  }
  ++a.balance;
  a.m.unlock();
}
