// lockfree::stack: last in, first out, each element once, and what a throwing element leaves behind.
#include "support/fixture.hpp"
#include "support/sequence_model.hpp"

#include <runnel/lockfree/hazard_pointer.hpp>
#include <runnel/lockfree/stack.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using lockfree::stack;

class stack_test : public behaviour {};
RUNNEL_EVERY_CALLER(stack_test);

/// Counts its kind and the steps of its life; its next move or copy throws when told to.
struct counted {
  explicit counted(int v = 0) : value(v) { ++live; }
  counted(const counted& o) : value(o.value) {
    step(copies);
    ++live;
  }
  counted(counted&& o) noexcept(false) : value(o.value) {
    step(moves);
    ++live;
  }
  counted& operator=(counted&& o) noexcept(false) {
    step(moves);
    value = o.value;
    return *this;
  }
  ~counted() { --live; }
  static void step(int& count) {
    ++count;
    if (throws) throw std::runtime_error("a move");
  }
  static void forget() { copies = moves = 0, throws = false; }
  int value;
  static inline std::atomic<int> live{0};
  static inline int copies = 0, moves = 0;
  static inline bool throws = false;
};

TEST_P(stack_test, the_last_one_in_is_the_first_one_out) {
  in_runtime([] {
    stack<std::string> s;
    EXPECT_TRUE(s.empty());
    EXPECT_EQ(s.try_pop(), std::nullopt);
    const std::string first = "first";
    s.push(first);
    s.push(std::string("second"));
    s.emplace(3u, 'x');
    EXPECT_FALSE(s.empty());
    std::string out = "untouched";
    EXPECT_EQ(s.try_pop(), "xxx");
    EXPECT_TRUE(s.try_pop(out));
    EXPECT_EQ(out, "second");
    EXPECT_EQ(s.try_pop(), "first");
    EXPECT_FALSE(s.try_pop(out));
    EXPECT_EQ(out, "second");
    EXPECT_TRUE(s.empty());
  });
}

TEST_P(stack_test, an_element_is_moved_no_more_than_asked_for_and_ends_with_its_pop) {
  in_runtime([] {
    counted::forget();
    {
      stack<counted> s;
      s.emplace(1);
      EXPECT_EQ(counted::copies + counted::moves, 0);
      counted two(2);
      s.push(two);
      EXPECT_EQ(counted::copies, 1);
      s.push(std::move(two));
      EXPECT_EQ(counted::moves, 1);
      EXPECT_EQ(counted::live, 4);
      EXPECT_TRUE(s.try_pop(two));
      EXPECT_EQ(counted::moves, 2);
      EXPECT_EQ(counted::live, 3);
      EXPECT_EQ(s.try_pop()->value, 2);
      EXPECT_EQ(counted::moves, 3);
      EXPECT_EQ(counted::live, 2) << "one in the stack, and `two`";
    }
    EXPECT_EQ(counted::live, 0);
  });
}

TEST_P(stack_test, what_only_moves_is_big_or_wants_its_place_is_kept_well) {
  in_runtime([] {
    struct alignas(256) over_aligned {
      int value;
    };
    stack<std::unique_ptr<int>> only_moves;
    stack<over_aligned> aligned;
    stack<std::array<std::uint64_t, 128>> big;
    for (int i = 0; i < 3; ++i) {
      only_moves.push(std::make_unique<int>(i));
      aligned.push({i});
      std::array<std::uint64_t, 128> many;
      many.fill(static_cast<std::uint64_t>(i));
      big.push(many);
    }
    for (int i = 2; i >= 0; --i) {
      EXPECT_EQ(**only_moves.try_pop(), i);
      EXPECT_EQ(aligned.try_pop()->value, i);
      EXPECT_EQ(big.try_pop()->back(), static_cast<std::uint64_t>(i));
    }
    static_assert(!std::is_invocable_v<decltype([](auto& s, const auto& p) -> decltype(s.push(p)) { return s.push(p); }),
                                       stack<std::unique_ptr<int>>&, const std::unique_ptr<int>&>);
  });
}

TEST_P(stack_test, elements_that_are_left_are_destroyed_with_the_stack) {
  in_runtime([] {
    {
      stack<counted> s;
      for (int i = 0; i < 100; ++i) s.emplace(i);
      EXPECT_EQ(s.try_pop()->value, 99);
      EXPECT_EQ(counted::live, 99);
    }
    EXPECT_EQ(counted::live, 0);
  });
}

TEST_P(stack_test, a_push_that_throws_has_pushed_nothing) {
  in_runtime([] {
    counted::forget();
    stack<counted> s;
    s.emplace(1);
    counted two(2);
    counted::throws = true;
    EXPECT_THROW(s.push(two), std::runtime_error);
    EXPECT_THROW(s.push(std::move(two)), std::runtime_error);
    counted::throws = false;
    EXPECT_EQ(counted::live, 2);
    EXPECT_EQ(s.try_pop()->value, 1);
    EXPECT_TRUE(s.empty());
  });
}

TEST_P(stack_test, a_pop_whose_move_throws_has_taken_its_element_and_nothing_else) {
  in_runtime([] {
    counted::forget();
    stack<counted> s;
    for (int i = 0; i < 4; ++i) s.emplace(i);
    counted out(7);
    counted::throws = true;
    EXPECT_THROW(static_cast<void>(s.try_pop()), std::runtime_error);
    EXPECT_EQ(counted::live, 4);
    EXPECT_THROW(static_cast<void>(s.try_pop(out)), std::runtime_error);
    EXPECT_EQ(counted::live, 3);
    counted::throws = false;
    EXPECT_EQ(out.value, 7);
    EXPECT_EQ(s.try_pop()->value, 1);
    EXPECT_EQ(s.try_pop()->value, 0);
    EXPECT_TRUE(s.empty());
  });
}

TEST_P(stack_test, memory_of_popped_nodes_is_given_back_or_used_again) {
  in_runtime([] {
    stack<int> s;
    s.push(0);
    EXPECT_EQ(s.try_pop(), 0);
    hazard_pointer_clean_up();
    const std::int64_t before = live_allocations();
    for (std::size_t i = scaled(20'000); i-- > 0;) {
      s.push(1);
      ASSERT_EQ(s.try_pop(), 1);
      ASSERT_LE(live_allocations() - before, 2 * 1024) << "more than a thread's bound of retired nodes, and of those kept";
    }
  });
}

TEST_P(stack_test, an_element_may_use_the_stack_while_it_is_moved_and_when_it_ends) {
  struct reenters {
    explicit reenters(stack<reenters>* s) : where(s) {}
    reenters(reenters&& o) noexcept : where(std::exchange(o.where, nullptr)) {}
    ~reenters() {
      if (where) where->try_pop();
    }
    stack<reenters>* where;
  };
  in_runtime([] {
    stack<reenters> s;
    for (int i = 0; i < 10; ++i) s.emplace(&s);
    s.try_pop();
    EXPECT_TRUE(s.empty()) << "each one popped the next";
  });
}

TEST_P(stack_test, every_history_could_be_a_sequential_one) {
  in_runtime([] {
    using model = history::stack_model;
    std::mt19937_64 random(seed());
    const auto draw = [&](std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); };
    for (std::size_t round = scaled(300); round-- > 0;) {
      stack<int> s;
      std::atomic<std::uint64_t> clock{0};
      std::vector<std::vector<model::event>> lanes;
      for (int n = 0; n < 4; ++n) lanes.push_back(model::random_events(8, 100 * n, draw));
      std::vector<party> parties;
      for (auto& lane : lanes) {
        parties.push_back(start([&] {
          for (model::event& e : lane) {
            history::record<model>(s, e, clock);
            if (e.argument % 3 == 0) yield();
          }
        }));
      }
      for (party& p : parties) p.join();
      ASSERT_TRUE(history::linearizable<model>(history::joined(lanes)));
    }
  });
}

TEST_P(stack_test, many_push_and_pop_and_each_element_is_popped_once) {
  in_runtime([] {
    constexpr std::size_t sides = 8;  // more than there are processors
    const std::size_t each = scaled(5'000);
    stack<std::unique_ptr<std::size_t>> s;
    std::vector<std::atomic<int>> popped(sides * each);
    std::atomic<std::size_t> left{sides * each};
    std::vector<party> parties;
    for (std::size_t n = 0; n < sides; ++n) {
      parties.push_back(start([&, n] {
        for (std::size_t i = 0; i < each; ++i) {
          s.push(std::make_unique<std::size_t>(n * each + i));
          if (i % 2 == 0) continue;
          for (int k = 0; k < 2; ++k)
            if (const auto one = s.try_pop()) ++popped[**one], --left;
          if (i % 64 == 1) yield();
        }
      }));
    }
    for (party& p : parties) p.join();
    while (const auto one = s.try_pop()) ++popped[**one], --left;
    EXPECT_EQ(left, 0u);
    for (const auto& times : popped) ASSERT_EQ(times, 1);
  });
}

}  // namespace
}  // namespace runnel::test
