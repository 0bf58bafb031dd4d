// expect: deleted|copy
#include <runnel/patterns/circuit_breaker.hpp>

void copies(runnel::circuit_breaker& original) {
#ifdef RUNNEL_NEGATIVE_CONTROL
  auto& other = original;
#else
  auto other = original;
#endif
  other.call([] {});
}
