// Taking turns on a worker orders nothing.
#include <runnel/go.hpp>

namespace {
int shared = 0;

void take_turns() {
  for (int i = 0; i < 10; ++i) {
    ++shared;
    runnel::yield();
  }
}
}  // namespace

int main() {
  return runnel::run({.workers = 1}, [] {
    auto first = runnel::go(take_turns);
    auto second = runnel::go(take_turns);
    first.get();
    second.get();
  });
}
