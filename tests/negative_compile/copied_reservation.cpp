// expect: deleted|copy
#include <runnel/patterns/rate_limiter.hpp>

#include <utility>

void cancels_twice(runnel::rate_limiter& limiter) {
  auto original = limiter.reserve();
#ifdef RUNNEL_NEGATIVE_CONTROL
  auto other = std::move(original);
#else
  auto other = original;
#endif
  other.cancel();
}
