// expect: static.assert
#include <runnel/fiber_local.hpp>

struct value {
#ifndef RUNNEL_NEGATIVE_CONTROL
  ~value() noexcept(false) {}
#endif
  int number = 0;
};
runnel::fiber_local<value> local;

int reads() { return local->number; }
