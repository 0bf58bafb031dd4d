// expect: completion function must be noexcept
#include <runnel/sync/barrier.hpp>

void phases() {
#ifdef RUNNEL_NEGATIVE_CONTROL
  const auto complete = []() noexcept {};
#else
  const auto complete = [] {};
#endif
  runnel::barrier<decltype(complete)> b(1, complete);
  b.arrive_and_wait();
}
