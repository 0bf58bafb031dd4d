// expect: by several at a time
#include <runnel/patterns/hedge.hpp>

int asks() {
#ifdef RUNNEL_NEGATIVE_CONTROL
  return runnel::hedge({}, [] { return 1; });
#else
  return runnel::hedge({}, [n = 0]() mutable { return ++n; });
#endif
}
