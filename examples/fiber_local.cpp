// A value per fiber: each sees its own, wherever it goes on.
#include <runnel/fiber_local.hpp>
#include <runnel/runnel.hpp>

#include <cstdio>
#include <string>

namespace {

/// Reused by every call in the same fiber; a thread_local would be shared by all fibers of a
/// worker.
runnel::fiber_local<std::string> scratch;
runnel::fiber_local<int> depth([] { return 100; });

int visits(int times) {
  for (int i = 0; i < times; ++i) {
    scratch->append("x");
    ++*depth;
    runnel::yield();  // may go on on another worker
  }
  return static_cast<int>(scratch->size()) + *depth;
}

}  // namespace

int main() {
  return runnel::run([] {
    auto a = runnel::go([] { return visits(3); });
    auto b = runnel::go([] { return visits(5); });
    std::printf("%d %d\n", a.get(), b.get());
    std::printf("untouched here: %d\n", *depth);
  });
}
