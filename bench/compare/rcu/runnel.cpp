#include <runnel/lockfree/rcu.hpp>

#include "fibers.hpp"

namespace {

struct peer {
  struct cell {
    template <class F>
    void read(F f) const {
      const auto now = value.read();
      f(*now);
    }
    template <class F>
    void update(F f) {
      value.update(f);
    }
    explicit cell(bench::rcu::record r) : value(r) {}
    runnel::rcu<bench::rcu::record> value;
  };
  template <class F>
  static void together(unsigned n, F f) {
    bench::rcu::on_fibers(n, f);
  }
  static void leave() {}
};

}  // namespace

int main(int argc, char** argv) { return bench::rcu::run_on_fibers<peer>(argc, argv, "runnel"); }
