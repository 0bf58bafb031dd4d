// expect: deleted
#include <runnel/sync/semaphore.hpp>

#include <utility>

void acquires(runnel::semaphore& s) {
  runnel::permit original(s);
#ifdef RUNNEL_NEGATIVE_CONTROL
  runnel::permit other = std::move(original);
#else
  runnel::permit other = original;
#endif
}
