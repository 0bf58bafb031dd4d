// The smallest program: two tasks and what they return.
#include <runnel/runnel.hpp>

#include <cstdio>

int main() {
  return runnel::run([] {
    auto six = runnel::go([] { return 6; });
    auto seven = runnel::go([] { return 7; });
    std::printf("%d\n", six.get() * seven.get());
  });
}
