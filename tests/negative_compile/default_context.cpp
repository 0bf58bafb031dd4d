// expect: no matching (function|constructor)|no default constructor
#include <runnel/context.hpp>

bool is_canceled() {
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::context unknown;
#endif
  runnel::context known = runnel::context::background();
  return known.is_canceled();
}
