// The standard library: std::atomic<std::shared_ptr>.
#include "cases.hpp"

#include <memory>

namespace {

struct peer {
  struct cell {
    explicit cell(bench::rcu::record r) : value(std::make_shared<const bench::rcu::record>(r)) {}
    template <class F>
    void read(F f) const {
      f(*value.load(std::memory_order_acquire));
    }
    template <class F>
    void update(F f) {
      auto seen = value.load(std::memory_order_acquire);
      while (!value.compare_exchange_weak(seen, std::make_shared<const bench::rcu::record>(f(*seen)))) {
      }
    }
    std::atomic<std::shared_ptr<const bench::rcu::record>> value;
  };
  template <class F>
  static void together(unsigned n, F f) {
    bench::rcu::on_threads(n, f);
  }
  static void leave() {}
};

}  // namespace

int main(int argc, char** argv) { return bench::rcu::cases<peer>::run_on_threads(argc, argv, "atomic_shared_ptr"); }
