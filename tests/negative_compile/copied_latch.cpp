// expect: deleted
#include <runnel/sync/latch.hpp>

void copies() {
  runnel::latch original(1);
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::latch copy = original;
#endif
  static_cast<void>(original);
}
