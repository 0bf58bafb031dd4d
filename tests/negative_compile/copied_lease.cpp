// expect: deleted|copy
#include <runnel/sync/pool.hpp>

#include <utility>

void shares() {
  runnel::pool<int> p;
  auto original = p.get();
#ifdef RUNNEL_NEGATIVE_CONTROL
  auto other = std::move(original);
#else
  auto other = original;
#endif
  static_cast<void>(*other);
}
