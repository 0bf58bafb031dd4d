// A reader uses an object after it has ended the protection; the writer retires it.
#include <runnel/go.hpp>
#include <runnel/lockfree/hazard_pointer.hpp>

#include <atomic>

namespace {
struct configuration : runnel::hazard_pointer_obj_base<configuration> {
  ~configuration() { length = 0; }
  int length = 1;
};
std::atomic<configuration*> current{new configuration};
std::atomic<bool> read_once{false};  // relaxed: for the order of events, which it does not make one of memory
}  // namespace

int main() {
  return runnel::run([] {
    auto reader = runnel::go([] {
      runnel::hazard_pointer h = runnel::make_hazard_pointer();
      const configuration* seen = h.protect(current);
      h.reset_protection();
      const int length = seen->length;
      read_once.store(true, std::memory_order_relaxed);
      return length;
    });
    auto reloader = runnel::go([] {
      while (!read_once.load(std::memory_order_relaxed)) runnel::yield();
      current.exchange(nullptr)->retire();
      runnel::hazard_pointer_clean_up();
    });
    static_cast<void>(reader.get());
    reloader.get();
  });
}
