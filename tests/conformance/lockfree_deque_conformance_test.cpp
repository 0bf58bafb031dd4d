// work_stealing_deque: owner and thieves against each other.
#include "support/fixture.hpp"

#include <runnel/lockfree/work_stealing_deque.hpp>

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

namespace runnel::test {
namespace {

using lockfree::work_stealing_deque;

class lockfree_deque_conformance : public behaviour {
 protected:
  /// Thieves that steal until `left` is 0; each counts down and shows what it got to `seen`.
  template <class T, class Seen>
  static std::vector<party> thieves(std::size_t n, work_stealing_deque<T>& d, std::atomic<std::size_t>& left, Seen seen) {
    std::vector<party> all;
    for (std::size_t i = 0; i < n; ++i) {
      all.push_back(start([&, seen]() mutable {
        while (left.load() != 0) {
          if (std::optional<T> v = d.try_steal()) {
            seen(std::move(*v));
            left.fetch_sub(1);
          } else {
            yield();
          }
        }
      }));
    }
    return all;
  }
};
RUNNEL_EVERY_CALLER(lockfree_deque_conformance);

TEST_P(lockfree_deque_conformance, lockfree_13_owner_sees_falling_numbers_and_each_thief_rising_ones) {
  in_runtime([] {
    const std::size_t n = scaled(50'000);
    work_stealing_deque<std::size_t> d;
    for (std::size_t i = 1; i <= n; ++i) d.push(i);
    std::atomic<std::size_t> left{n}, taken{0};
    auto others = thieves(8, d, left, [&, last = std::size_t{0}](std::size_t v) mutable {
      EXPECT_GT(v, last);
      last = v;
      taken.fetch_add(1);
    });
    std::size_t last = n + 1;
    for (std::size_t turns = 0; left.load() != 0; ++turns) {
      if (const auto v = d.try_pop()) {
        EXPECT_LT(*v, last);
        last = *v;
        taken.fetch_add(1);
        left.fetch_sub(1);
      }
      if (turns % 64 == 0) yield();
    }
    for (party& t : others) t.join();
    EXPECT_EQ(taken.load(), n);
  });
}

TEST_P(lockfree_deque_conformance, lockfree_13_neighbour_each_thief_sees_rising_numbers_while_the_owner_adds) {
  in_runtime([] {
    const std::size_t n = scaled(50'000);
    work_stealing_deque<std::size_t> d(2);
    std::atomic<std::size_t> left{n}, taken{0};
    auto others = thieves(8, d, left, [&, last = std::size_t{0}](std::size_t v) mutable {
      EXPECT_GT(v, last);
      last = v;
      taken.fetch_add(1);
    });
    for (std::size_t i = 1; i <= n; ++i) {
      d.push(i);
      if (i % 1024 == 0) yield();
    }
    for (party& t : others) t.join();
    EXPECT_EQ(taken.load(), n);
    EXPECT_TRUE(d.empty());
  });
}

/// Notes its end.
struct noted {
  noted(std::vector<std::atomic<int>>& where, std::size_t i) : ends(&where), id(i) {}
  noted(noted&& o) noexcept : ends(std::exchange(o.ends, nullptr)), id(o.id) {}
  noted& operator=(noted&&) = delete;
  ~noted() {
    if (ends) (*ends)[id].fetch_add(1);
  }
  std::vector<std::atomic<int>>* ends;
  std::size_t id;
};

TEST_P(lockfree_deque_conformance, lockfree_15_what_is_left_ends_with_the_deque_and_each_object_once) {
  in_runtime([] {
    const std::size_t n = scaled(50'000);
    std::vector<std::atomic<int>> ends(n);
    std::size_t rest = 0;
    {
      work_stealing_deque<noted> d;
      for (std::size_t i = 0; i < n; ++i) d.push(noted(ends, i));
      std::vector<party> others;
      for (int i = 0; i < 8; ++i) {
        others.push_back(start([&] {
          for (std::size_t k = 0; k < n / 32; ++k) {
            static_cast<void>(d.try_steal());
            if (k % 64 == 0) yield();
          }
        }));
      }
      for (std::size_t k = 0; k < n / 4; ++k) {
        static_cast<void>(d.try_pop());
        if (k % 64 == 0) yield();
      }
      for (party& t : others) t.join();
      rest = d.size();
      EXPECT_GE(rest, n / 2) << "what nobody took";
      std::size_t ended = 0;
      for (const auto& times : ends) ended += static_cast<std::size_t>(times.load());
      EXPECT_EQ(ended, n - rest);
    }
    for (const auto& times : ends) ASSERT_EQ(times.load(), 1);
  });
}

TEST_P(lockfree_deque_conformance, lockfree_15_neighbour_what_was_pushed_in_between_ends_too_after_growth) {
  in_runtime([] {
    const std::size_t n = scaled(20'000);
    std::vector<std::atomic<int>> ends(n);
    {
      work_stealing_deque<noted> d(2);
      std::atomic<bool> over{false};
      auto thief = start([&] {
        while (!over.load()) {
          static_cast<void>(d.try_steal());
          yield();
        }
      });
      for (std::size_t i = 0; i < n; ++i) {
        d.push(noted(ends, i));
        if (i % 256 == 0) yield();
      }
      over.store(true);
      thief.join();
    }
    for (const auto& times : ends) ASSERT_EQ(times.load(), 1);
  });
}

TEST_P(lockfree_deque_conformance, lockfree_17_the_only_entry_goes_to_owner_or_thief) {
  in_runtime([this] {
    // All of them where two threads really race; on one worker the turns of fibers decide.
    const std::size_t n = scaled(from_threads() ? 10'000'000 : 500'000);
    work_stealing_deque<std::uint32_t> d(2);
    std::vector<std::atomic<std::uint8_t>> taken(n);
    std::atomic<bool> over{false};
    auto thief = start([&] {
      while (!over.load()) {
        if (const auto v = d.try_steal()) {
          taken[*v].fetch_add(1);
        } else if (!from_threads()) {
          yield();
        }
      }
    });
    for (std::size_t i = 0; i < n; ++i) {
      d.push(static_cast<std::uint32_t>(i));
      if (!from_threads() && i % 32 == 0) yield();
      if (const auto v = d.try_pop()) {
        EXPECT_EQ(*v, i);
        taken[*v].fetch_add(1);
      }
    }
    over.store(true);
    thief.join();
    EXPECT_TRUE(d.empty());
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(taken[i].load(), 1) << i;
  });
}

TEST_P(lockfree_deque_conformance, lockfree_17_neighbour_of_three_thieves_one_gets_the_only_entry) {
  in_runtime([] {
    const std::size_t n = scaled(100'000);
    work_stealing_deque<std::uint32_t> d(2);
    std::vector<std::atomic<std::uint8_t>> taken(n);
    std::atomic<std::size_t> left{n};
    auto others = thieves(3, d, left, [&](std::uint32_t v) { taken[v].fetch_add(1); });
    for (std::size_t i = 0; i < n; ++i) {
      d.push(static_cast<std::uint32_t>(i));
      if (i % 64 == 0) yield();
      while (d.size() > 4) yield();
    }
    for (party& t : others) t.join();
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(taken[i].load(), 1) << i;
  });
}

}  // namespace
}  // namespace runnel::test
