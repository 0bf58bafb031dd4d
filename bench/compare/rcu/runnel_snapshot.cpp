// runnel::atomic_snapshot.
#include <runnel/sync/atomic_snapshot.hpp>

#include "fibers.hpp"

namespace {

struct peer {
  struct cell {
    explicit cell(bench::rcu::record r) : value(r) {}
    template <class F>
    void read(F f) const {
      f(*value.load());
    }
    template <class F>
    void update(F f) {
      value.update(f);
    }
    runnel::atomic_snapshot<bench::rcu::record> value;
  };
  template <class F>
  static void together(unsigned n, F f) {
    bench::rcu::on_fibers(n, f);
  }
  static void leave() {}
};

}  // namespace

int main(int argc, char** argv) { return bench::rcu::run_on_fibers<peer>(argc, argv, "runnel_snapshot"); }
