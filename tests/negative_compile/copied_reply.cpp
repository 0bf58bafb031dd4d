// expect: deleted|copy
#include <runnel/patterns/reply.hpp>

void copies(runnel::reply<int> original) {
#ifdef RUNNEL_NEGATIVE_CONTROL
  auto other = std::move(original);
#else
  auto other = original;
#endif
  other(1);
}
