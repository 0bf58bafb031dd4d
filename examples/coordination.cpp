// Waiting for each other: wait_group, once, lazy, latch, barrier, event.
#include <runnel/runnel.hpp>
#include <runnel/sync/barrier.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/sync/latch.hpp>
#include <runnel/sync/lazy.hpp>
#include <runnel/sync/once.hpp>

#include <array>
#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

namespace {

void waiting_for_all() {
  runnel::wait_group in_flight;
  runnel::mutex m;
  int done = 0;
  for (int i = 0; i < 3; ++i)
    in_flight.go([&] {
      const std::scoped_lock lock(m);
      ++done;
    });
  in_flight.wait();
  std::printf("done: %d\n", done);
  try {
    in_flight.done();
  } catch (const runnel::misuse& e) {
    std::printf("%s\n", e.what());
  }
}

/// Connects at the first request, whoever sends it; a failure is tried again.
class client {
 public:
  void request() {
    connected_.call([this] { connect(); });
  }
  int attempts() const { return attempts_; }

 private:
  void connect() {
    if (++attempts_ == 1) throw std::runtime_error("nobody listens");
  }
  runnel::once connected_;
  int attempts_ = 0;
};

void connecting_once() {
  client c;
  try {
    c.request();
  } catch (const std::runtime_error& e) {
    std::printf("%s\n", e.what());
  }
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 10; ++i) group.go([&] { c.request(); });
  });
  std::printf("attempts: %d\n", c.attempts());
}

void value_at_its_first_use() {
  runnel::lazy<std::string> banner([] {
    std::puts("reading the file");
    return std::string("welcome");
  });
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 3; ++i) group.go([&] { static_cast<void>(banner.get().size()); });
  });
  std::printf("%s\n", banner.get().c_str());
}

void starting_together() {
  runnel::latch ready(3);
  runnel::event start;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 3; ++i)
      group.go([&] {
        ready.count_down();
        start.wait();
      });
    ready.wait();
    std::puts("three are ready");
    start.set();
  });
}

/// Each round every cell becomes the sum of itself and its left neighbour; none may run ahead.
void rounds_of_work() {
  std::array<int, 4> cells{1, 0, 0, 0}, next{};
  const auto swap_cells = [&]() noexcept { cells = next; };
  runnel::barrier<decltype(swap_cells)> end_of_round(4, swap_cells);
  runnel::with_task_group([&](runnel::task_group& group) {
    for (std::size_t i = 0; i < 4; ++i)
      group.go([&, i] {
        for (int round = 0; round < 3; ++round) {
          next[i] = cells[i] + (i > 0 ? cells[i - 1] : 0);
          end_of_round.arrive_and_wait();
        }
      });
  });
  std::printf("%d %d %d %d\n", cells[0], cells[1], cells[2], cells[3]);
}

/// However often something changed, the reader looks once.
void looking_when_something_is_new() {
  runnel::auto_reset_event changed;
  changed.set();
  changed.set();
  changed.wait();
  std::printf("something new: %s\n", changed.wait_for(1ms) ? "yes" : "no");
}

}  // namespace

int main() {
  return runnel::run([] {
    waiting_for_all();
    connecting_once();
    value_at_its_first_use();
    starting_together();
    rounds_of_work();
    looking_when_something_is_new();
  });
}
