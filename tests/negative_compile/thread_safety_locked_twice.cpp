// expect: already held
#include <runnel/sync/mutex.hpp>

void locks(runnel::mutex& m) {
  m.lock();
#ifndef RUNNEL_NEGATIVE_CONTROL
  m.lock();
#endif
  m.unlock();
}
