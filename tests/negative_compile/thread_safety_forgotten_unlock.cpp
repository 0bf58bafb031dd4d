// expect: is not held on every path
#include <runnel/sync/mutex.hpp>

void locks(runnel::mutex& m, bool early) {
  m.lock();
#ifndef RUNNEL_NEGATIVE_CONTROL
  if (early) return;
#endif
  static_cast<void>(early);
  m.unlock();
}
