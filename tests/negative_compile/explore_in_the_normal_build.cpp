// expect: explore\(\) needs the target runnel::explore
#include <runnel/testing/explore.hpp>

void explores() {
#ifndef RUNNEL_NEGATIVE_CONTROL
  static_cast<void>(runnel::explore([] {}));
#endif
}
