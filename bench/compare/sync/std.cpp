// The locks of the standard library between threads: the same work as in go.go. One worker: all threads on one processor.
#include "../program.hpp"

#include <sched.h>

#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <thread>

namespace {

using bench::result;
using bench::scaled;
using bench::stopwatch;

unsigned workers = 1;

template <class F>
void together(std::size_t tasks, F body) {
  std::vector<std::thread> all;
  for (std::size_t k = 0; k < tasks; ++k) all.emplace_back(body, k);
  for (std::thread& t : all) t.join();
}

result contended(std::size_t tasks, std::size_t full) {
  const std::size_t each = scaled(full / tasks);
  std::mutex mutex;
  std::size_t count = 0;
  const stopwatch time;
  together(tasks, [&](std::size_t) {
    for (std::size_t k = 0; k < each; ++k) {
      const std::scoped_lock lock(mutex);
      ++count;
    }
  });
  bench::require(count == tasks * each, "the count");
  return {time.per(count)};
}

result rwread() {
  const std::size_t n = scaled(5'000'000);
  std::shared_mutex mutex;
  const stopwatch time;
  together(workers, [&](std::size_t) {
    for (std::size_t k = 0; k < n; ++k) const std::shared_lock held(mutex);
  });
  return {time.per(n), "wall time per operation of one task"};
}

result cond_pingpong() {
  const std::size_t n = scaled(100'000);
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t turn = 0;
  const stopwatch time;
  together(2, [&](std::size_t k) {
    std::unique_lock lock(mutex);
    for (std::size_t i = 0; i < n; ++i) {
      changed.wait(lock, [&] { return turn == k; });
      turn = 1 - k;
      changed.notify_one();
    }
  });
  return {time.per(2 * n)};
}

constexpr bench::one_case cases[] = {
    {"mutex_c2", "12", [] { return contended(2, 8'000'000); }},
    {"mutex_c64", "12", [] { return contended(64, 3'200'000); }},
    {"rwread", "12", rwread},
    {"rwread_one_word", "12", rwread},
    {"cond_pingpong", "12", cond_pingpong},
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, "std", cases, [](unsigned n, auto run_case) {
    workers = n;
    if (n == 1) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(0, &one);
      sched_setaffinity(0, sizeof one, &one);
    }
    run_case();
  });
}
