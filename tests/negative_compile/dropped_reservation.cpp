// expect: the tokens are taken
#include <runnel/patterns/rate_limiter.hpp>

void drops(runnel::rate_limiter& limiter) {
#ifdef RUNNEL_NEGATIVE_CONTROL
  const auto kept = limiter.reserve();
  static_cast<void>(kept);
#else
  limiter.reserve();
#endif
}
