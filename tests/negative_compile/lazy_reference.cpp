// expect: must be an object type
#include <runnel/sync/lazy.hpp>

int value = 0;

void makes() {
#ifdef RUNNEL_NEGATIVE_CONTROL
  runnel::lazy<int*> l([] { return &value; });
#else
  runnel::lazy<int&> l([]() -> int& { return value; });
#endif
  static_cast<void>(l.get());
}
