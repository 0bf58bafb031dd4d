// Userspace RCU (liburcu), the memb flavour: old values are freed by its call_rcu thread.
#include "cases.hpp"

#include <urcu/urcu-memb.h>

#include <utility>

namespace {

struct peer {
  struct version {
    rcu_head head;
    bench::rcu::record value;
  };
  /// Readers and writers register at their first use.
  static void join() {
    if (std::exchange(registered, true)) return;
    urcu_memb_register_thread();
  }
  static void leave() {
    if (std::exchange(registered, false)) urcu_memb_unregister_thread();
  }
  static inline thread_local bool registered = false;

  struct cell {
    explicit cell(bench::rcu::record r) : current(new version{{}, r}) { join(); }
    ~cell() {
      leave();
      urcu_memb_barrier();
      delete current.load();
    }
    cell(const cell&) = delete;
    cell& operator=(const cell&) = delete;
    template <class F>
    void read(F f) {
      if (!registered) join();
      urcu_memb_read_lock();
      f(current.load(std::memory_order_acquire)->value);
      urcu_memb_read_unlock();
    }
    template <class F>
    void update(F f) {
      if (!registered) join();
      urcu_memb_read_lock();
      version* seen = current.load(std::memory_order_acquire);
      auto* fresh = new version{{}, f(seen->value)};
      while (!current.compare_exchange_weak(seen, fresh)) fresh->value = f(seen->value);
      urcu_memb_read_unlock();
      urcu_memb_call_rcu(&seen->head, [](rcu_head* h) { delete reinterpret_cast<version*>(h); });
    }
    std::atomic<version*> current;
  };
  template <class F>
  static void together(unsigned n, F f) {
    bench::rcu::on_threads(n, f);
  }
};

}  // namespace

int main(int argc, char** argv) { return bench::rcu::cases<peer>::run_on_threads(argc, argv, "urcu"); }
