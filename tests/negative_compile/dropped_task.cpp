// expect: ignoring return value
#include <runnel/go.hpp>

void starts() {
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::go([] {});
#endif
  auto kept = runnel::go([] {});
  kept.get();
}
