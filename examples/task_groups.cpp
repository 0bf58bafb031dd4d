// Task groups: work that is split, fails and ends together.
#include <runnel/runnel.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

namespace {

void all_parts() {
  std::array<int, 4> squares{};
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 4; ++i)
      group.go([&squares, i] { squares[static_cast<std::size_t>(i)] = i * i; });
  });  // all have ended: their results can be read
  std::printf("sum of squares: %d\n", std::accumulate(squares.begin(), squares.end(), 0));
}

void first_failure() {
  try {
    runnel::with_task_group([](runnel::task_group& group) {
      group.go([] { runnel::sleep_for(1h); });  // ended by its sibling's failure
      group.go([] { throw std::runtime_error("disk full"); });
    });
  } catch (const std::runtime_error& e) {
    std::printf("first failure: %s\n", e.what());
  }
}

void every_failure() {
  const runnel::task_group_options options{.on_failure = runnel::failure_policy::collect_all};
  try {
    runnel::with_task_group(options, [](runnel::task_group& group) {
      for (int i = 1; i <= 3; ++i)
        group.go([i] {
          if (i != 2) throw std::runtime_error("part " + std::to_string(i));
        });
    });
  } catch (const runnel::task_group_error& failures) {
    std::printf("%s\n", failures.what());
    for (const std::exception_ptr& e : failures.errors()) try {
        std::rethrow_exception(e);
      } catch (const std::runtime_error& failure) {
        std::printf("  %s\n", failure.what());
      }
  }
}

void at_most_two() {
  int running = 0, most = 0, done = 0;
  runnel::mutex m;
  runnel::with_task_group({.limit = 2}, [&](runnel::task_group& group) {
    for (int i = 0; i < 10; ++i)
      group.go([&] {  // waits here while two are running
        {
          const std::scoped_lock lock(m);
          most = std::max(most, ++running);
        }
        runnel::yield();
        const std::scoped_lock lock(m);
        --running;
        ++done;
      });
  });
  std::printf("done: %d, never more than two: %s\n", done, most <= 2 ? "yes" : "no");
}

void as_a_member() {
  runnel::task_group group({.limit = 1, .name = "background"});
  group.go([](const runnel::context& ctx) {
    runnel::select(runnel::on_done(ctx));  // until the group is cancelled
  });
  std::printf("room for another: %s\n", group.try_go([] {}) ? "yes" : "no");
  group.cancel();
  group.wait();  // its own cancellation is no failure
  std::puts("stopped");
}

}  // namespace

int main() {
  return runnel::run([] {
    all_parts();
    first_failure();
    every_failure();
    at_most_two();
    as_a_member();
  });
}
