// A configuration is replaced through an atomic pointer, and the old one is freed while a reader may still use it.
#include <runnel/go.hpp>

#include <atomic>
#include <string>

namespace {
struct configuration {
  std::string host;
};
std::atomic<configuration*> current{new configuration{"localhost"}};
}  // namespace

int main() {
  return runnel::run([] {
    auto reader = runnel::go([] {
      const configuration* seen = current.load(std::memory_order_acquire);
      runnel::yield();
      return seen->host.size();
    });
    auto reloader = runnel::go([] { delete current.exchange(new configuration{"example.org"}, std::memory_order_acq_rel); });
    static_cast<void>(reader.get());
    reloader.get();
    delete current.load();
  });
}
