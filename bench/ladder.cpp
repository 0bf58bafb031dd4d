// The ladder: what one increment of a shared number costs on each rung, alone and with every worker at once. bench/ladder
// builds and runs it and draws the picture; docs/guide/ladder.md says how to read it.
//
//   PROGRAM [DIVISOR]   a line for each rung: name, nanoseconds alone, nanoseconds contended, separated by tabs
#include <runnel/runnel.hpp>
#include <runnel/sync/atomic_snapshot.hpp>
#include <runnel/sync/concurrent_map.hpp>
#include <runnel/sync/guarded.hpp>
#include <runnel/sync/lazy.hpp>
#include <runnel/sync/striped_counter.hpp>
#if __has_include(<runnel/sync/shared_mutex.hpp>)
#include <runnel/sync/shared_mutex.hpp>

#include <shared_mutex>
#define LADDER_HAS_SHARED_MUTEX 1
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

std::size_t divisor = 1;

void keep(const auto& v) { asm volatile("" : : "g"(v) : "memory"); }

/// Nanoseconds for each of the operations that `fibers` do together, `each` of them: operate(fiber, operation).
template <class F>
double measure(std::size_t fibers, std::size_t each, F operate) {
  using clock = std::chrono::steady_clock;
  const auto start = clock::now();
  runnel::with_task_group([&](runnel::task_group& group) {
    for (std::size_t n = 0; n < fibers; ++n)
      group.go([&operate, n, each] {
        for (std::size_t i = 0; i < each; ++i) operate(n, i);
      });
  });
  return std::chrono::duration<double, std::nano>(clock::now() - start).count() / static_cast<double>(fibers * each);
}

/// A rung: operate(fiber, operation), by one and by as many as there are workers.
template <class F>
void rung(const char* name, std::size_t operations, F operate) {
  const std::size_t workers = runnel::stats().workers;
  const std::size_t each = operations / divisor + 1;
  measure(1, each / 10 + 1, operate);
  const double alone = measure(1, each, operate);
  const double together = measure(workers, each, operate);
  std::printf("%s\t%.2f\t%.2f\n", name, alone, together);
  std::fflush(stdout);
}

void climb() {
  {
    struct alignas(128) own {
      long value = 0;
    };
    std::vector<own> numbers(runnel::stats().workers);
    rung("nothing shared", 20'000'000, [&](std::size_t n, std::size_t) { keep(++numbers[n].value); });
  }
  {
    runnel::lazy<long> number([] { return 1L; });
    rung("lazy, read when done", 20'000'000, [&](std::size_t, std::size_t) { keep(number.get()); });
  }
  {
    runnel::striped_counter number;
    rung("striped_counter", 5'000'000, [&](std::size_t, std::size_t) { number.add(); });
  }
  {
    std::atomic<long> number{0};
    rung("std::atomic", 5'000'000, [&](std::size_t, std::size_t) { number.fetch_add(1, std::memory_order_relaxed); });
  }
  {
    runnel::guarded<long> number(0);
    rung("mutex (guarded)", 2'000'000, [&](std::size_t, std::size_t) { number.with([](long& v) { ++v; }); });
  }
#ifdef LADDER_HAS_SHARED_MUTEX
  {
    runnel::shared_mutex lock;
    long number = 0;
    rung("shared_mutex, reading", 2'000'000, [&](std::size_t, std::size_t) {
      const std::shared_lock hold(lock);
      keep(number);
    });
  }
#endif
  {
    runnel::atomic_snapshot<long> number(0);
    rung("atomic_snapshot, reading", 2'000'000, [&](std::size_t, std::size_t) { keep(*number.load()); });
  }
  {
    auto numbers = runnel::make_channel<long>(64);
    runnel::with_task_group([&](runnel::task_group& group) {
      group.go([rx = std::move(numbers.rx)] {
        long sum = 0;
        for (long v : rx) sum += v;
        keep(sum);
      });
      rung("channel to an owner", 1'000'000, [&](std::size_t, std::size_t) { numbers.tx.send(1); });
      numbers.tx = {};
    });
  }
  {
    runnel::concurrent_map<std::size_t, long> numbers;
    for (std::size_t k = 0; k < 1024; ++k) numbers.insert(k, 0);
    rung("sharded (concurrent_map)", 2'000'000, [&](std::size_t n, std::size_t i) {
      numbers.visit((n * 7919 + i * 31) % 1024, [](long& v) { ++v; });
    });
  }
  {
    std::atomic<long> number{0};
    rung("lock-free loop (compare-exchange)", 2'000'000, [&](std::size_t, std::size_t) {
      long seen = number.load(std::memory_order_relaxed);
      while (!number.compare_exchange_weak(seen, seen + 1, std::memory_order_relaxed)) {
      }
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) divisor = std::max(1ul, std::strtoul(argv[1], nullptr, 10));
  return runnel::run(climb);
}
