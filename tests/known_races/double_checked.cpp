// The first look at the pointer is made without the lock: it may be seen before what it points at.
#include <runnel/go.hpp>
#include <runnel/sync/mutex.hpp>

#include <mutex>

namespace {
runnel::mutex lock;
int* made = nullptr;

int get() {
  if (!made) {
    std::scoped_lock held(lock);
    if (!made) made = new int(7);
  }
  return *made;
}
}  // namespace

int main() {
  return runnel::run([] {
    auto first = runnel::go([] { return get(); });
    auto second = runnel::go([] { return get(); });
    static_cast<void>(first.get() + second.get());
    delete made;
  });
}
