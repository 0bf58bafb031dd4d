// expect: a reference would outlive the lock
#include <runnel/sync/guarded.hpp>

int leaks() {
  runnel::guarded<int> g(1);
#ifdef RUNNEL_NEGATIVE_CONTROL
  return g.with([](int& v) { return v; });
#else
  return g.with([](int& v) -> int& { return v; });
#endif
}
