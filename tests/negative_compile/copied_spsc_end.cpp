// expect: deleted
#include <runnel/channel.hpp>

#include <utility>

void second_sender() {
  auto original = runnel::make_channel<int, runnel::spsc>(4).tx;
#ifndef RUNNEL_NEGATIVE_CONTROL
  auto copy = original;
#endif
  auto moved = std::move(original);
  moved.send(1);
}
