// oneTBB: concurrent_hash_map, combinable counters, a concurrent_queue of buffers, collaborative_call_once.
#include "cases.hpp"
#include "threads.hpp"

#include <tbb/collaborative_call_once.h>
#include <tbb/combinable.h>
#include <tbb/concurrent_hash_map.h>
#include <tbb/concurrent_queue.h>

namespace {

struct peer {
  struct map {
    using table = tbb::concurrent_hash_map<std::uint64_t, std::uint64_t>;
    bool find(std::uint64_t k) {
      table::const_accessor a;
      return m.find(a, k);
    }
    void assign(std::uint64_t k, std::uint64_t v) {
      table::accessor a;
      m.insert(a, k);
      a->second = v;
    }
    void erase(std::uint64_t k) { m.erase(k); }
    table m;
  };
  struct counter {
    void add() { ++value.local(); }
    std::int64_t sum() { return value.combine(std::plus<>()); }
    tbb::combinable<std::int64_t> value{[] { return std::int64_t{0}; }};
  };
  struct once {
    template <class F>
    void call(F f) {
      tbb::collaborative_call_once(flag, f);
    }
    tbb::collaborative_once_flag flag;
  };
  struct pool {
    template <class F>
    void use(F f) {
      bench::shared::buffer b;
      if (!idle.try_pop(b)) b = bench::shared::make_buffer();
      f(b);
      idle.push(std::move(b));
    }
    tbb::concurrent_queue<bench::shared::buffer> idle;
  };
  template <class F>
  static void together(unsigned n, F f) {
    bench::shared::on_threads(n, f);
  }
};

}  // namespace

int main(int argc, char** argv) {
  return bench::shared::cases<peer>::run(argc, argv, "tbb", [](unsigned, auto run_case) { run_case(); });
}
