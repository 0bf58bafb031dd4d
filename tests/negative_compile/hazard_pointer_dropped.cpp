// expect: nodiscard|ignoring return value
#include <runnel/lockfree/hazard_pointer.hpp>

void forgets() {
#ifdef RUNNEL_NEGATIVE_CONTROL
  auto h = runnel::make_hazard_pointer();
#else
  runnel::make_hazard_pointer();
#endif
}
