// expect: keep the guard
#include <runnel/sync/guarded.hpp>

void locks() {
  runnel::guarded<int> g(1);
#ifdef RUNNEL_NEGATIVE_CONTROL
  const auto held = g.lock();
#else
  g.lock();
#endif
}
