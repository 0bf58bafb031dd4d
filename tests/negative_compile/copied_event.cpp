// expect: deleted
#include <runnel/sync/event.hpp>

void copies() {
  runnel::event original;
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::event copy = original;
#endif
  static_cast<void>(original);
}
