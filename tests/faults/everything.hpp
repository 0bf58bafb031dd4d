// A little of everything that the runtime does, with sums that must be right: for runs in unfriendly surroundings.
#pragma once

#include <runnel/patterns/parallel.hpp>
#include <runnel/runnel.hpp>
#include <runnel/time.hpp>

#include <atomic>
#include <chrono>
#include <vector>

namespace runnel::test {

struct amounts {
  int tasks = 200;
  int messages = 500;
};

/// Inside the runtime: spawns, hands over, selects, forks, waits for the clock, cancels. Returns whether all counts are right.
inline bool everything_works(amounts n = {}) {
  using namespace std::chrono_literals;
  bool right = true;

  std::atomic<int> ran{0};
  with_task_group([&](task_group& g) {
    for (int i = 0; i < n.tasks; ++i)
      g.go([&] {
        yield();
        ++ran;
      });
  });
  right &= ran == n.tasks;

  auto ends = make_channel<int>(4);
  const channel<int> other;
  long received = 0;
  with_task_group([&](task_group& g) {
    for (int k = 0; k < 3; ++k)
      g.go([&, tx = ends.tx] {
        for (int i = 0; i < n.messages; ++i) tx.send(1);
      });
    g.go([&] {
      for (int i = 0; i < n.messages; ++i) other.send(1);
      other.close();
    });
    bool open = true;
    for (int left = 3 * n.messages; left > 0 || open;)
      select(on_receive(ends.rx, [&](std::optional<int> v) { received += *v, --left; }).when(left > 0),
             on_receive(other, [&](std::optional<int> v) { v ? void(received += *v) : void(open = false); }).when(open));
  });
  right &= received == 4L * n.messages;

  auto single = make_channel<int, spsc>(3);
  int in_order = 0;
  with_task_group([&](task_group& g) {
    g.go([&] {
      for (int i = 0; i < n.messages; ++i) single.tx.send(i);
      single.tx.close();
    });
    for (int v : single.rx) in_order += v == in_order;
  });
  right &= in_order == n.messages;

  std::atomic<int> parts{0};
  parallel_for_each(std::vector<int>(static_cast<std::size_t>(n.tasks)), [&](int) { ++parts; }, {.grain = 1});
  right &= parts == n.tasks;

  std::atomic<int> canceled_ones{0};
  {
    std::vector<task<void>> waiting;
    const channel<int> nobody;
    for (int i = 0; i < n.tasks; ++i)
      waiting.push_back(go({.stack = stack_class::small}, [&] {
        try {
          nobody.receive();
        } catch (const canceled&) {
          ++canceled_ones;
          throw;
        }
      }));
    sleep_for(100us);
    for (auto& t : waiting) t.cancel();
    for (auto& t : waiting) t.join();
  }
  right &= canceled_ones == n.tasks;
  try {
    with_timeout(100us, [] { sleep_for(1h); });
    right = false;
  } catch (const deadline_exceeded&) {
    // as it should
  }
  right &= blocking([] { return 7; }) == 7;
  return right;
}

}  // namespace runnel::test
