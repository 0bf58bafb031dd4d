// expect: deleted
#include <runnel/sync/once.hpp>

void copies() {
  runnel::once original;
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::once copy = original;
#endif
  static_cast<void>(original);
}
