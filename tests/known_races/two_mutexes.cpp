// Each fiber holds a lock, but not the same one.
#include <runnel/go.hpp>
#include <runnel/sync/mutex.hpp>

#include <mutex>

namespace {
int shared = 0;
runnel::mutex first_lock, second_lock;

void increment_under(runnel::mutex& lock) {
  std::scoped_lock held(lock);
  ++shared;
}
}  // namespace

int main() {
  return runnel::run([] {
    auto first = runnel::go([] { increment_under(first_lock); });
    auto second = runnel::go([] { increment_under(second_lock); });
    first.get();
    second.get();
  });
}
