// expect: keep the guard
#include <runnel/lockfree/rcu.hpp>

void reads() {
  const runnel::rcu<int> cell(1);
#ifdef RUNNEL_NEGATIVE_CONTROL
  const auto section = cell.read();
#else
  cell.read();
#endif
}
