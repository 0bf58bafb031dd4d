// Each fiber holds the lock, but for reading.
#include <runnel/go.hpp>
#include <runnel/sync/shared_mutex.hpp>

#include <shared_mutex>

namespace {
int shared = 0;
runnel::shared_mutex m;

void increment() {
  std::shared_lock held(m);
  ++shared;
}
}  // namespace

int main() {
  return runnel::run([] {
    auto first = runnel::go(increment);
    auto second = runnel::go(increment);
    first.get();
    second.get();
  });
}
