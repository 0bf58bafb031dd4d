// The locks of runnel under contention: the same work as in go.go, written as the guide shows users.
#include <runnel/runnel.hpp>
#include <runnel/sync/scalable_shared_mutex.hpp>
#include <runnel/sync/shared_mutex.hpp>

#include "../program.hpp"

#include <mutex>
#include <shared_mutex>

namespace {

using bench::result;
using bench::scaled;
using bench::stopwatch;

result contended(std::size_t tasks, std::size_t full) {
  const std::size_t each = scaled(full / tasks);
  runnel::mutex mutex;
  std::size_t count = 0;
  const stopwatch time;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (std::size_t i = 0; i < tasks; ++i) {
      group.go([&] {
        for (std::size_t k = 0; k < each; ++k) {
          const std::scoped_lock lock(mutex);
          ++count;
        }
      });
    }
  });
  bench::require(count == tasks * each, "the count");
  return {time.per(count)};
}

template <class Lock>
result read_locks() {
  const std::size_t n = scaled(5'000'000);
  const unsigned readers = runnel::stats().workers;
  Lock lock;
  const stopwatch time;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (unsigned i = 0; i < readers; ++i) {
      group.go([&] {
        for (std::size_t k = 0; k < n; ++k) const std::shared_lock held(lock);
      });
    }
  });
  return {time.per(n), "wall time per operation of one task"};
}

result sem_unc() {
  const std::size_t n = scaled(20'000'000);
  runnel::semaphore semaphore(10);
  const stopwatch time;
  for (std::size_t i = 0; i < n; ++i) {
    semaphore.acquire();
    semaphore.release();
  }
  return {time.per(n)};
}

result cond_pingpong() {
  const std::size_t n = scaled(500'000);
  runnel::mutex mutex;
  runnel::condition_variable changed;
  int turn = 0;
  const stopwatch time;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int k = 0; k < 2; ++k) {
      group.go([&, k] {
        std::unique_lock lock(mutex);
        for (std::size_t i = 0; i < n; ++i) {
          changed.wait(lock, [&] { return turn == k; });
          turn = 1 - k;
          changed.notify_one();
        }
      });
    }
  });
  return {time.per(2 * n)};
}

constexpr bench::one_case cases[] = {
    {"mutex_c2", "12", [] { return contended(2, 8'000'000); }},
    {"mutex_c64", "12", [] { return contended(64, 3'200'000); }},
    {"rwread", "12", read_locks<runnel::scalable_shared_mutex>},
    {"rwread_one_word", "12", read_locks<runnel::shared_mutex>},
    {"sem_unc", "1", sem_unc},
    {"cond_pingpong", "12", cond_pingpong},
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, "runnel", cases, [](unsigned workers, auto run_case) {
    runnel::run({.workers = workers}, run_case);
  });
}
