// expect: deleted
#include <runnel/go.hpp>

#include <utility>

void passes_on() {
  auto original = runnel::go([] {});
#ifndef RUNNEL_NEGATIVE_CONTROL
  auto copy = original;
#endif
  auto moved = std::move(original);
  moved.get();
}
