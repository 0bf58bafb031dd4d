// expect: derives from hazard_pointer_obj_base of its own type
#include <runnel/lockfree/hazard_pointer.hpp>

#include <atomic>

#ifdef RUNNEL_NEGATIVE_CONTROL
struct node : runnel::hazard_pointer_obj_base<node> {};
#else
struct node {};
#endif

void reads(std::atomic<node*>& src) {
  runnel::hazard_pointer h = runnel::make_hazard_pointer();
  static_cast<void>(h.protect(src));
}
