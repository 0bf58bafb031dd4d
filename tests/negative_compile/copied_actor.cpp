// expect: deleted|copy
#include <runnel/patterns/actor.hpp>

void copies() {
  runnel::actor<int> original([] { return [](int) {}; });
#ifdef RUNNEL_NEGATIVE_CONTROL
  runnel::actor_address<int> other = original;
#else
  auto other = original;
#endif
  other.tell(1);
}
