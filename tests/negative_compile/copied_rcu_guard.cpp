// expect: deleted
#include <runnel/lockfree/rcu.hpp>

#include <utility>

void reads() {
  const runnel::rcu<int> cell(1);
  auto section = cell.read();
#ifdef RUNNEL_NEGATIVE_CONTROL
  auto other = std::move(section);
#else
  auto other = section;
#endif
}
