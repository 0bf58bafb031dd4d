// work_stealing_deque in many orders of events.
#include "explored.hpp"

#include <runnel/lockfree/work_stealing_deque.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/shared_var.hpp>

#include <optional>

namespace runnel::test {
namespace {

using lockfree::work_stealing_deque;

TEST(explored_deque, lockfree_17_owner_and_thief_race_for_the_only_entry_and_one_wins) {
  bool owner_won = false, thief_won = false;
  holds_in(2'000, [&] {
    work_stealing_deque<int> d(2);
    d.push(7);
    std::optional<int> stolen;
    auto thief = go([&] { stolen = d.try_steal(); });
    const std::optional<int> popped = d.try_pop();
    thief.get();
    require(popped.has_value() != stolen.has_value(), "lost, or taken twice");
    require(popped.value_or(7) == 7 && stolen.value_or(7) == 7 && d.empty(), "something else");
    (popped ? owner_won : thief_won) = true;
  });
  EXPECT_TRUE(owner_won && thief_won);
}

TEST(explored_deque, each_is_taken_once_while_it_grows) {
  holds_in(5'000, [] {
    work_stealing_deque<int> d(2);
    const auto steal = [&] {
      int stolen = 0;
      for (int i = 0; i < 2; ++i) stolen += d.try_steal().value_or(0);
      return stolen;
    };
    auto a = go(steal), b = go(steal);
    for (int i = 0; i < 4; ++i) d.push(1 << (4 * i));
    int sum = d.try_pop().value_or(0);
    sum += a.get() + b.get();
    while (const auto v = d.try_pop()) sum += *v;
    require(sum == 0x1111, "lost, or taken twice");
  });
}

TEST(explored_deque, a_push_hands_on_what_came_before_it) {
  holds_in(5'000, [] {
    shared_var<int> plain;
    work_stealing_deque<int> d;
    auto thief = go([&] {
      if (d.try_steal()) require(plain.load() == 1, "not seen");
    });
    plain.store(1);
    d.push(1);
    thief.get();
  });
}

#if !defined(RUNNEL_TSAN)  // it would find it first, and end the test
TEST(explored_deque, and_nothing_that_comes_after_it) {
  const auto r = explore({.schedules = scaled(5'000)}, [] {
    shared_var<int> plain;
    work_stealing_deque<int> d;
    auto thief = go([&] {
      if (d.try_steal()) static_cast<void>(plain.load());
    });
    d.push(1);
    plain.store(1);
    thief.get();
  });
  EXPECT_TRUE(r.failed && r.verdict == verdict::race) << r.trace;
}
#endif

}  // namespace
}  // namespace runnel::test
