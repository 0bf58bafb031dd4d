// A node is unlinked and freed without a grace period, while a reader may still be in its read section.
#include <runnel/go.hpp>
#include <runnel/lockfree/rcu_domain.hpp>

#include <atomic>
#include <mutex>
#include <string>

namespace {
std::atomic<std::string*> current{new std::string("localhost")};
std::atomic<bool> read_once{false};  // relaxed: for the order of events, which it does not make one of memory
}  // namespace

int main() {
  return runnel::run([] {
    auto reader = runnel::go([] {
      const std::scoped_lock section(runnel::rcu_default_domain());
      const std::size_t length = current.load(std::memory_order_acquire)->size();
      read_once.store(true, std::memory_order_relaxed);
      return length;
    });
    auto reloader = runnel::go([] {
      while (!read_once.load(std::memory_order_relaxed)) runnel::yield();
      delete current.exchange(new std::string("example.org"), std::memory_order_acq_rel);  // rcu_retire() is missing
    });
    static_cast<void>(reader.get());
    reloader.get();
    delete current.load();
  });
}
