// expect: a reference would outlive the section
#include <runnel/lockfree/rcu.hpp>

int leaks() {
  const runnel::rcu<int> cell(1);
#ifdef RUNNEL_NEGATIVE_CONTROL
  return cell.read([](const int& v) { return v; });
#else
  return cell.read([](const int& v) -> const int& { return v; });
#endif
}
