// expect: copy_constructible|no matching|constraint
#include <runnel/sync/concurrent_map.hpp>

#include <memory>

void looks_up() {
  runnel::concurrent_map<int, std::unique_ptr<int>> m;
#ifdef RUNNEL_NEGATIVE_CONTROL
  m.visit(1, [](auto&) {});
#else
  static_cast<void>(m.find(1));
#endif
}
