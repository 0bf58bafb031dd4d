// expect: deleted
#include <runnel/sync/guarded.hpp>

void leaks() {
  runnel::guarded<int> g(1);
#ifdef RUNNEL_NEGATIVE_CONTROL
  const auto held = g.lock();
  const int& value = *held;
#else
  const int& value = *g.lock();
#endif
  static_cast<void>(value);
}
