// expect: no matching|cannot convert|no known conversion|could not convert|invalid initialization
#include <runnel/sync/condition_variable.hpp>

void waits(runnel::condition_variable& changed) {
#ifdef RUNNEL_NEGATIVE_CONTROL
  runnel::mutex m;
#else
  std::mutex m;
#endif
  std::unique_lock lock(m);
  changed.wait(lock);
}
