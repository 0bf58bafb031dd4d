// In which order fibers begin, and on which stacks.
#include "support/fixture.hpp"

#include "fiber/sanitizer.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <set>
#include <vector>

namespace runnel::test {
namespace {

class new_fibers : public behaviour {};
RUNNEL_EVERY_WIDTH(new_fibers);

run_options one() { return {.workers = 1}; }

TEST(new_fibers_alone, the_newest_begins_first) {
  run(one(), [] {
    std::vector<int> order;
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 5; ++i) g.go([&order, i] { order.push_back(i); });
    });
    EXPECT_EQ(order, (std::vector<int>{4, 3, 2, 1, 0}));
  });
}

TEST(new_fibers_alone, who_yields_is_behind_those_that_have_not_begun) {
  run(one(), [] {
    std::vector<int> order;
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 3; ++i)
        g.go([&order, i] {
          order.push_back(i);
          yield();
          order.push_back(10 + i);
        });
    });
    EXPECT_EQ(order, (std::vector<int>{2, 1, 0, 12, 11, 10}));
  });
}

TEST(new_fibers_alone, a_chain_in_which_each_starts_the_next_keeps_nobody_out) {
  run(one(), [] {
    std::atomic<bool> oldest_ran{false}, yielder_ran{false}, over{false};
    std::function<void()> link;
    with_task_group([&](task_group& g) {
      g.go([&] {
        yield();
        yielder_ran = true;
      });
      yield();  // it begins, and stands in the ring now
      g.go([&] { oldest_ran = true; });
      link = [&] {
        if (oldest_ran && yielder_ran) {
          over = true;
        } else {
          g.go(link);
        }
      };
      g.go(link);
    });
    EXPECT_TRUE(over);
  });
}

TEST(new_fibers_alone, many_that_end_soon_use_few_stacks) {
  if (detail::sanitizer::fresh_stacks) GTEST_SKIP() << "under this sanitizer each fiber has a stack of its own";
  run(one(), [] {
    std::set<std::uintptr_t> stacks;
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 1'000; ++i)
        g.go([&stacks] {
          char here;
          stacks.insert(reinterpret_cast<std::uintptr_t>(&here) / stack_bytes(stack_class::standard));
        });
    });
    EXPECT_LE(stacks.size(), 4u);
  });
}

TEST_P(new_fibers, a_tree_is_worked_through_with_few_fibers_alive) {
  in_runtime([] {
    constexpr int depth = 4, width = 6;
    std::atomic<std::size_t> leaves{0}, alive{0}, most{0};
    const std::function<void(int)> grow = [&](int left) {
      const std::size_t now = alive.fetch_add(1) + 1;
      for (std::size_t seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
      }
      if (left == 0) {
        ++leaves;
      } else {
        with_task_group([&](task_group& g) {
          for (int i = 0; i < width; ++i) g.go([&grow, left] { grow(left - 1); });
        });
      }
      --alive;
    };
    grow(depth);
    EXPECT_EQ(leaves, 1'296u);
    // Breadth first all inner nodes and leaves of a level would be alive at once.
    EXPECT_LE(most, GetParam().workers * (depth + 1) * std::size_t{width});
  });
}

TEST_P(new_fibers, those_of_a_worker_that_is_kept_begin_elsewhere) {
  if (GetParam().workers == 1) GTEST_SKIP() << "there is nowhere else";
  in_runtime([] {
    std::atomic<int> begun{0};
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 3; ++i) g.go([&] { ++begun; });
      while (begun != 3) {
      }
    });
  });
}

}  // namespace
}  // namespace runnel::test
