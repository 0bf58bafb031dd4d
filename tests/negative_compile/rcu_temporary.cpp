// expect: deleted
#include <runnel/lockfree/rcu.hpp>

void leaks() {
  const runnel::rcu<int> cell(1);
#ifdef RUNNEL_NEGATIVE_CONTROL
  const auto section = cell.read();
  const int& value = *section;
#else
  const int& value = *cell.read();
#endif
  static_cast<void>(value);
}
