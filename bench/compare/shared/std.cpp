// The standard library: one mutex around an unordered_map, one atomic, new buffers, std::call_once.
#include "cases.hpp"
#include "threads.hpp"

#include <mutex>
#include <unordered_map>

namespace {

struct peer {
  struct map {
    bool find(std::uint64_t k) {
      const std::scoped_lock hold(lock);
      return m.contains(k);
    }
    void assign(std::uint64_t k, std::uint64_t v) {
      const std::scoped_lock hold(lock);
      m.insert_or_assign(k, v);
    }
    void erase(std::uint64_t k) {
      const std::scoped_lock hold(lock);
      m.erase(k);
    }
    std::mutex lock;
    std::unordered_map<std::uint64_t, std::uint64_t> m;
  };
  struct counter {
    void add() { value.fetch_add(1, std::memory_order_relaxed); }
    std::int64_t sum() const { return value.load(); }
    std::atomic<std::int64_t> value{0};
  };
  struct once {
    template <class F>
    void call(F f) {
      std::call_once(flag, f);
    }
    std::once_flag flag;
  };
  struct pool {
    template <class F>
    void use(F f) {
      bench::shared::buffer b = bench::shared::make_buffer();
      f(b);
    }
  };
  template <class F>
  static void together(unsigned n, F f) {
    bench::shared::on_threads(n, f);
  }
};

}  // namespace

int main(int argc, char** argv) {
  return bench::shared::cases<peer>::run(argc, argv, "std", [](unsigned, auto run_case) { run_case(); });
}
