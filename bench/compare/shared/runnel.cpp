#include <runnel/runnel.hpp>
#include <runnel/sync/concurrent_map.hpp>
#include <runnel/sync/once.hpp>
#include <runnel/sync/pool.hpp>
#include <runnel/sync/striped_counter.hpp>

#include "cases.hpp"

namespace {

struct peer {
  struct map {
    bool find(std::uint64_t k) const { return m.find(k).has_value(); }
    void assign(std::uint64_t k, std::uint64_t v) { m.insert_or_assign(k, v); }
    void erase(std::uint64_t k) { m.erase(k); }
    runnel::concurrent_map<std::uint64_t, std::uint64_t> m;
  };
  using counter = runnel::striped_counter;
  using once = runnel::once;
  struct pool {
    template <class F>
    void use(F f) {
      auto lease = p.get();
      f(*lease);
    }
    runnel::pool<bench::shared::buffer> p{[] { return bench::shared::make_buffer(); }};
  };
  template <class F>
  static void together(unsigned n, F f) {
    runnel::with_task_group([&](runnel::task_group& group) {
      for (unsigned i = 0; i < n; ++i) group.go([&f, i] { f(i); });
    });
  }
};

}  // namespace

int main(int argc, char** argv) {
  return bench::shared::cases<peer>::run(argc, argv, "runnel", [](unsigned workers, auto run_case) {
    runnel::run({.workers = workers}, run_case);
  });
}
