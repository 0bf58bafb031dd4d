// The standard library: a std::shared_mutex around the value.
#include "cases.hpp"

#include <mutex>
#include <shared_mutex>

namespace {

struct peer {
  struct cell {
    explicit cell(bench::rcu::record r) : value(r) {}
    template <class F>
    void read(F f) {
      const std::shared_lock hold(lock);
      f(value);
    }
    template <class F>
    void update(F f) {
      const std::unique_lock hold(lock);
      value = f(value);
    }
    std::shared_mutex lock;
    bench::rcu::record value;
  };
  template <class F>
  static void together(unsigned n, F f) {
    bench::rcu::on_threads(n, f);
  }
  static void leave() {}
};

}  // namespace

int main(int argc, char** argv) { return bench::rcu::cases<peer>::run_on_threads(argc, argv, "shared_mutex"); }
