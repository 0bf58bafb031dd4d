// The parent writes after it has started a fiber and before it has joined it.
#include <runnel/go.hpp>

namespace {
int shared = 0;
}

int main() {
  return runnel::run([] {
    auto child = runnel::go([] { ++shared; });
    ++shared;
    child.get();
  });
}
