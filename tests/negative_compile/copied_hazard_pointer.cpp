// expect: deleted|copy
#include <runnel/lockfree/hazard_pointer.hpp>

#include <utility>

void shares() {
  runnel::hazard_pointer original = runnel::make_hazard_pointer();
#ifdef RUNNEL_NEGATIVE_CONTROL
  runnel::hazard_pointer other = std::move(original);
#else
  runnel::hazard_pointer other = original;
#endif
  other.reset_protection();
}
