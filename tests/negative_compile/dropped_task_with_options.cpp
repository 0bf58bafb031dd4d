// expect: ignoring return value
#include <runnel/go.hpp>

void starts() {
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::go({.name = "dropped"}, [] {});
#endif
  auto kept = runnel::go({.name = "kept"}, [] {});
  kept.get();
}
