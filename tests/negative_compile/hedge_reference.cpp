// expect: might end with its attempt
#include <runnel/patterns/hedge.hpp>

int asks(int& shared) {
#ifdef RUNNEL_NEGATIVE_CONTROL
  return runnel::hedge({}, [&] { return shared; });
#else
  return runnel::hedge({}, [&]() -> int& { return shared; });
#endif
}
