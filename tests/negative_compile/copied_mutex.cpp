// expect: deleted
#include <runnel/sync/mutex.hpp>

void locks() {
  runnel::mutex original;
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::mutex copy = original;
#endif
  original.lock();
  original.unlock();
}
