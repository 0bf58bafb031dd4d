// A configuration is replaced through an atomic pointer, and the old one is freed while a reader may still use it.
#include <runnel/go.hpp>

#include <atomic>
#include <string>

namespace {
struct configuration {
  std::string host;
};
std::atomic<configuration*> current{new configuration{"localhost"}};
std::atomic<bool> read_once{false};  // relaxed: for the order of events, which it does not make one of memory
}  // namespace

int main() {
  return runnel::run([] {
    auto reader = runnel::go([] {
      const configuration* seen = current.load(std::memory_order_acquire);
      const std::size_t length = seen->host.size();
      read_once.store(true, std::memory_order_relaxed);
      return length;
    });
    auto reloader = runnel::go([] {
      while (!read_once.load(std::memory_order_relaxed)) runnel::yield();
      delete current.exchange(new configuration{"example.org"}, std::memory_order_acq_rel);
    });
    static_cast<void>(reader.get());
    reloader.get();
    delete current.load();
  });
}
