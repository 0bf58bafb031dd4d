// The memory of tasks and contexts: pooled by the workers.
#include "support/fixture.hpp"

#include <runnel/sched/frame.hpp>

#include <array>
#include <atomic>
#include <cstdint>

namespace runnel::test {
namespace {

class frame : public behaviour {};
RUNNEL_EVERY_WIDTH(frame);

constexpr std::size_t at_once = 500;

void one_round() {
  with_task_group([](task_group& g) {
    for (std::size_t i = 0; i < at_once; ++i) g.go([] {});
  });
  wait_group w;
  for (std::size_t i = 0; i < at_once; ++i) w.go([] {});
  w.wait();
  std::array<task<int>, at_once> tasks;
  for (task<int>& t : tasks) t = go([] { return 1; });
  for (task<int>& t : tasks) EXPECT_EQ(t.get(), 1);
  for (std::size_t i = 0; i < at_once; ++i) derive_cancel(context::current()).cancel();
}

TEST_P(frame, tasks_take_nothing_from_the_heap_in_the_steady_state) {
  in_runtime([] {
    one_round();
    const std::uint64_t before = allocations_made();
    const std::size_t rounds = 1 + scaled(20);
    for (std::size_t i = 0; i < rounds; ++i) one_round();
    const std::uint64_t taken = allocations_made() - before;
    if (!sched::pools_frames()) {
      EXPECT_GE(taken, rounds * at_once * 4) << "a sanitizer has to see each";
    } else if (GetParam().workers == 1) {
      EXPECT_EQ(taken, 0u);
    } else {
      // What a worker keeps, up to two batches of 32 for each of the sizes, has to be taken once by each.
      EXPECT_LE(taken, at_once * 4 + GetParam().workers * 64 * 4);
    }
  });
}

TEST_P(frame, memory_moves_between_workers_and_threads) {
  in_runtime([] {
    const std::size_t rounds = 1 + scaled(200);
    std::atomic<std::size_t> ended{0};
    for (std::size_t i = 0; i < rounds; ++i) {
      auto here = go([&ended] { ended.fetch_add(1); });
      auto there = blocking([&ended] { return go([&ended] { ended.fetch_add(1); }); });  // made on a thread
      blocking([t = std::move(here)]() mutable { t.get(); });                            // freed on a thread
      there.get();
      auto limited = derive_timeout(context::current(), std::chrono::hours(1));
      blocking([l = std::move(limited)]() mutable { l.cancel(); });
    }
    EXPECT_EQ(ended.load(), rounds * 2);
  });
}

TEST_P(frame, big_and_aligned_callables_stand_where_they_must) {
  in_runtime([] {
    struct alignas(256) aligned {
      char c[3] = {};
    };
    auto wide = go([a = aligned()] { return reinterpret_cast<std::uintptr_t>(&a) % alignof(aligned); });
    EXPECT_EQ(wide.get(), 0u);
    const auto check = [](auto capture) {
      auto t = go([capture] { return capture.back(); });
      EXPECT_EQ(t.get(), capture.back());
    };
    std::array<char, 1> small{'a'};
    std::array<char, 260> middle;
    std::array<char, 5000> big;
    middle.fill('b');
    big.fill('c');
    for (int i = 0; i < 3; ++i) {
      check(small);
      check(middle);
      check(big);
    }
  });
}

}  // namespace
}  // namespace runnel::test
