// runnel::shared_mutex around the value.
#include <runnel/sync/shared_mutex.hpp>

#include "fibers.hpp"

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
    runnel::shared_mutex lock;
    bench::rcu::record value;
  };
  template <class F>
  static void together(unsigned n, F f) {
    bench::rcu::on_fibers(n, f);
  }
  static void leave() {}
};

}  // namespace

int main(int argc, char** argv) { return bench::rcu::run_on_fibers<peer>(argc, argv, "runnel_shared_mutex"); }
