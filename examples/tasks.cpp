// Tasks: a function on a fiber of its own, its result, its failure and its end.
#include <runnel/runnel.hpp>

#include <unistd.h>

#include <cstdio>
#include <stdexcept>

using namespace std::chrono_literals;

namespace {

void results_and_failures() {
  auto sum = runnel::go([] { return 19 + 23; });
  std::printf("sum: %d\n", sum.get());

  auto failing = runnel::go([]() -> int { throw std::runtime_error("no answer"); });
  try {
    failing.get();
  } catch (const std::runtime_error& e) {
    std::printf("failed: %s\n", e.what());
  }
}

void ends() {
  auto sleeper = runnel::go({.name = "sleeper"}, [] { runnel::sleep_for(1h); });
  sleeper.cancel();
  try {
    sleeper.get();
  } catch (const runnel::task_canceled&) {
    std::puts("get: the task was cancelled");
  }
  {
    auto kept = runnel::go([] {
      try {
        runnel::sleep_for(1h);
      } catch (const runnel::canceled&) {
        std::puts("body: cancelled, cleaning up");
        throw;
      }
    });
  }  // ~task cancels it and waits for its end
  std::puts("the scope has ended, and so has the task");
}

void long_computation() {
  auto counting = runnel::go({.name = "counting", .stack = runnel::stack_class::small}, [] {
    for (;;) runnel::this_fiber::checkpoint();  // meets the cancellation, and lets others run
  });
  counting.cancel();
  counting.join();
  std::printf("counting ended: %s\n", counting.done() ? "yes" : "no");
}

void blocking_call() {
  const bool known = runnel::blocking([] { return ::sysconf(_SC_PAGESIZE) > 0; });
  std::printf("page size known: %s\n", known ? "yes" : "no");
}

void nobody_owns_it() {
  auto [tx, rx] = runnel::make_channel<int>();
  runnel::go_detached([tx = std::move(tx)] { tx.send(7); });
  std::printf("detached sent: %d\n", rx.receive().value());
}

}  // namespace

int main() {
  return runnel::run([] {
    results_and_failures();
    ends();
    long_computation();
    blocking_call();
    nobody_owns_it();
  });
}
