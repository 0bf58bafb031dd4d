// Who pushes writes once more after the push; who pops reads.
#include <runnel/go.hpp>
#include <runnel/lockfree/stack.hpp>

namespace {
int shared = 0;
}

int main() {
  return runnel::run([] {
    runnel::lockfree::stack<int> s;
    auto pusher = runnel::go([&] {
      s.push(1);
      ++shared;
    });
    while (!s.try_pop()) runnel::yield();
    ++shared;
    pusher.get();
  });
}
