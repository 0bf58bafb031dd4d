// The locks of Boost.Fiber: the same work as in go.go. Stacks and schedulers as in ../core/boost.cpp; there is no lock for
// readers and no semaphore.
#include "../program.hpp"

#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/algo/shared_work.hpp>
#include <boost/fiber/algo/work_stealing.hpp>
#include <boost/fiber/all.hpp>

#include <malloc.h>

#include <memory>
#include <mutex>
#include <thread>

namespace {

namespace fibers = boost::fibers;
using bench::result;
using bench::scaled;
using bench::stopwatch;

fibers::fixedsize_stack stack(16 * 1024);

template <class F>
void together(std::size_t tasks, F body) {
  std::vector<fibers::fiber> all;
  for (std::size_t k = 0; k < tasks; ++k) all.emplace_back(std::allocator_arg, stack, body, k);
  for (fibers::fiber& f : all) f.join();
}

result contended(std::size_t tasks, std::size_t full) {
  const std::size_t each = scaled(full / tasks);
  fibers::mutex mutex;
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

result cond_pingpong() {
  const std::size_t n = scaled(200'000);
  fibers::mutex mutex;
  fibers::condition_variable changed;
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
    {"mutex_c2", "12", [] { return contended(2, 4'000'000); }},
    {"mutex_c64", "12", [] { return contended(64, 3'200'000); }},
    {"cond_pingpong", "12", cond_pingpong},
};

/// Runs the case among `workers` threads that run fibers. Ends the process: fibers on other threads may be left.
template <class Run>
void host(unsigned workers, bool shared_work, Run&& run_case) {
  const auto join_scheduler = [=] {
    if (shared_work) {
      fibers::use_scheduling_algorithm<fibers::algo::shared_work>();
    } else {
      fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(workers);
    }
  };
  if (workers == 1) {
    fibers::use_scheduling_algorithm<fibers::algo::round_robin>();
  } else {
    for (unsigned i = 1; i < workers; ++i) {
      std::thread([=] {
        join_scheduler();
        fibers::mutex mutex;
        fibers::condition_variable never;
        std::unique_lock lock(mutex);
        never.wait(lock, [] { return false; });
      }).detach();
    }
    join_scheduler();
  }
  run_case();
  std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  const bool shared_work = std::getenv("RUNNEL_BENCH_SHARED_WORK") != nullptr;
  std::vector<bench::one_case> mine(std::begin(cases), std::end(cases));
  if (shared_work)  // makes a difference from two workers on
    for (bench::one_case& c : mine) c.workers = "2";
  return bench::run_program(argc, argv, shared_work ? "boost-shared" : "boost", mine,
                            [=](unsigned workers, auto run_case) { host(workers, shared_work, run_case); });
}
