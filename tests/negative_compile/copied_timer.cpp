// expect: deleted
#include <runnel/time.hpp>

#include <utility>

void waits() {
  runnel::timer original(std::chrono::seconds(1));
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::timer copy = original;
#endif
  runnel::timer moved = std::move(original);
  moved.stop();
}
