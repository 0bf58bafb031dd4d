// Two fibers that nothing orders write to one variable, on whichever workers they run.
#include <runnel/go.hpp>

namespace {
int shared = 0;
}

int main() {
  return runnel::run([] {
    auto first = runnel::go([] { ++shared; });
    auto second = runnel::go([] { ++shared; });
    first.get();
    second.get();
  });
}
