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

/// What came in which order. Fibers of one worker are not ordered by that: so a list of atomics.
template <class T>
class journal {
 public:
  explicit journal(std::size_t most) : entries_(most) {}
  void note(T v) { entries_[size_++] = v; }
  std::vector<T> all() const { return {entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(size_.load())}; }

 private:
  std::vector<std::atomic<T>> entries_;
  std::atomic<std::size_t> size_{0};
};

TEST(new_fibers_alone, the_newest_begins_first) {
  run(one(), [] {
    journal<int> order(5);
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 5; ++i) g.go([&order, i] { order.note(i); });
    });
    EXPECT_EQ(order.all(), (std::vector<int>{4, 3, 2, 1, 0}));
  });
}

TEST(new_fibers_alone, who_yields_is_behind_those_that_have_not_begun) {
  run(one(), [] {
    journal<int> order(6);
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 3; ++i)
        g.go([&order, i] {
          order.note(i);
          yield();
          order.note(10 + i);
        });
    });
    EXPECT_EQ(order.all(), (std::vector<int>{2, 1, 0, 12, 11, 10}));
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
    journal<std::uintptr_t> places(1'000);
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 1'000; ++i)
        g.go([&places] {
          char here;
          places.note(reinterpret_cast<std::uintptr_t>(&here) / stack_bytes(stack_class::standard));
        });
    });
    const std::vector<std::uintptr_t> all = places.all();
    EXPECT_EQ(all.size(), 1'000u);
    EXPECT_LE(std::set<std::uintptr_t>(all.begin(), all.end()).size(), 4u);
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
