// expect: nodiscard|ignoring
#include <runnel/sync/lock_all.hpp>
#include <runnel/sync/mutex.hpp>

void both(runnel::mutex& a, runnel::mutex& b) {
#ifdef RUNNEL_NEGATIVE_CONTROL
  const auto held = runnel::lock_all(a, b);
#else
  runnel::lock_all(a, b);
#endif
}
