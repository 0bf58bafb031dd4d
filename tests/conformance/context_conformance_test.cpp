// The tree of contexts: who is canceled by whom, with which cause, at which time, and what each context knows.
#include "support/fixture.hpp"

#include <atomic>
#include <optional>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class context_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(context_conformance);

/// Those that the context knows: something is registered with them, or they have a time limit.
std::size_t children(const context& c) { return detail::node_of(c).child_count(); }
void make_known(const context& c) { detail::node_of(c).ensure_linked(); }

struct failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::exception_ptr some_cause() { return std::make_exception_ptr(failure("the cause")); }

/// Blocks until c is canceled.
void until_canceled(const context& c) { select(on_done(c)); }

template <class E>
bool holds(const std::exception_ptr& e) {
  if (!e) return false;
  try {
    std::rethrow_exception(e);
  } catch (const E&) {
    return true;
  } catch (...) {
    return false;
  }
}

/// Whether it was a time limit that canceled c.
bool by_deadline(const context& c) {
  try {
    c.check();
  } catch (const deadline_exceeded&) {
    return true;
  } catch (const canceled&) {
  }
  return false;
}

TEST_P(context_conformance, context_02_canceling_the_parent_finishes_all_below_and_empties_its_list) {
  in_runtime([] {
    static constexpr context_key<int> key;
    auto parent = derive_cancel(context::current());
    auto child = derive_cancel(parent.ctx);
    const context value = derive_value(parent.ctx, key, 1);
    auto timed = derive_timeout(value, 10'000h);
    EXPECT_EQ(children(parent.ctx), 1u) << "of the first child nothing hangs";
    make_known(child.ctx);
    EXPECT_EQ(children(parent.ctx), 2u);
    EXPECT_EQ(children(value), 1u);
    EXPECT_EQ(stats().armed_timers, 1u);

    parent.cancel();
    for (const context& c : {parent.ctx, child.ctx, value, timed.ctx}) {
      EXPECT_TRUE(c.is_canceled());
      EXPECT_EQ(children(c), 0u);
      EXPECT_FALSE(by_deadline(c));
    }
    EXPECT_EQ(stats().armed_timers, 0u) << "the limit of a canceled context is of no use";
    auto late = derive_cancel(parent.ctx);
    EXPECT_TRUE(late.ctx.is_canceled());
    EXPECT_TRUE(derive_value(value, key, 2).is_canceled());
    EXPECT_EQ(children(parent.ctx), 0u);
  });
}

TEST_P(context_conformance, context_02_neighbour_canceling_a_child_leaves_parent_and_siblings_alone) {
  in_runtime([] {
    auto parent = derive_cancel(context::current());
    auto first = derive_cancel(parent.ctx);
    auto second = derive_cancel(parent.ctx);
    auto below_first = derive_cancel(first.ctx);
    first.cancel();
    EXPECT_TRUE(first.ctx.is_canceled());
    EXPECT_TRUE(below_first.ctx.is_canceled());
    EXPECT_FALSE(parent.ctx.is_canceled());
    EXPECT_FALSE(second.ctx.is_canceled());
    EXPECT_FALSE(without_cancel(first.ctx).is_canceled());
    try {
      below_first.ctx.check();
      ADD_FAILURE() << "it is canceled";
    } catch (const canceled& c) {
      EXPECT_EQ(c.origin(), first.ctx) << "the cancellation began there";
    }
    second.ctx.check();
  });
}

TEST_P(context_conformance, context_04_each_deadline_ends_its_context_and_the_earlier_one_counts) {
  in_runtime([] {
    const time_point soon = steady_clock::now() + 50ms;
    auto limited = derive_deadline(context::current(), soon);
    auto wrapped = derive_cancel(limited.ctx);
    auto later = derive_deadline(limited.ctx, soon + 4s);
    auto by_wall_clock = derive_deadline(context::current(), std::chrono::system_clock::now() + 50ms);
    EXPECT_EQ(limited.ctx.deadline(), soon);
    EXPECT_EQ(wrapped.ctx.deadline(), soon);
    EXPECT_EQ(later.ctx.deadline(), soon) << "its own would come later";
    EXPECT_TRUE(by_wall_clock.ctx.deadline().has_value());
    EXPECT_FALSE(context::current().deadline().has_value());
    for (const context& c : {limited.ctx, wrapped.ctx, later.ctx}) {
      until_canceled(c);
      EXPECT_GE(steady_clock::now(), soon) << "too early";
      EXPECT_TRUE(by_deadline(c));
    }
    until_canceled(by_wall_clock.ctx);
    EXPECT_TRUE(by_deadline(by_wall_clock.ctx));

    for (const time_point t : {steady_clock::now() - 1s, steady_clock::now()}) {
      auto past = derive_deadline(context::current(), t);
      EXPECT_TRUE(past.ctx.is_canceled());
      EXPECT_TRUE(by_deadline(past.ctx));
    }
    for (const auto t : {std::chrono::system_clock::now() - 1s, std::chrono::system_clock::time_point::min()}) {
      auto past_wall = derive_deadline(context::current(), t);
      EXPECT_TRUE(by_deadline(past_wall.ctx));
    }
    auto endless = derive_deadline(context::current(), std::chrono::system_clock::time_point::max());
    EXPECT_FALSE(endless.ctx.is_canceled());
  });
}

TEST_P(context_conformance, context_04_neighbour_nested_limits_report_the_scope_that_ran_out) {
  in_runtime([] {
    with_timeout(1h, [] {
      const context outer = context::current();
      channel<int> never_served;
      try {
        with_timeout(5ms, [&] {
          EXPECT_LT(*context::current().deadline(), *outer.deadline());
          never_served.receive();
        });
        ADD_FAILURE() << "the inner limit had to end it";
      } catch (const deadline_exceeded& e) {
        EXPECT_NE(e.origin(), outer);
      }
      EXPECT_FALSE(outer.is_canceled());
      context::current().check();
    });
    std::optional<context> outer;
    try {
      with_timeout(5ms, [&] {
        outer = context::current();
        with_timeout(1h, [] { channel<int>().receive(); });
      });
      ADD_FAILURE() << "the outer limit had to end it";
    } catch (const deadline_exceeded& e) {
      EXPECT_EQ(e.origin(), *outer);
    }
  });
}

TEST_P(context_conformance, context_06_a_value_is_that_of_the_nearest_context_with_the_same_key) {
  in_runtime([] {
    // const objects of one type and one representation: only the identity tells them apart
    static constexpr context_key<int> width;
    static constexpr context_key<int> height;
    static constexpr context_key<const char*> name;
    const context root = context::background();
    EXPECT_EQ(root.value(width), nullptr);
    const context a = derive_value(root, width, 1);
    const context b = derive_value(a, height, 2);
    const context c = derive_value(b, name, "name");
    const context d = derive_cancel(c).ctx;
    const context e = derive_value(d, width, 3);
    const context f = derive_value(e, name, static_cast<const char*>(nullptr));
    ASSERT_NE(c.value(width), nullptr);
    EXPECT_EQ(*c.value(width), 1);
    EXPECT_EQ(*c.value(height), 2);
    EXPECT_STREQ(*d.value(name), "name") << "found through a context without values";
    EXPECT_EQ(*e.value(width), 3);
    EXPECT_EQ(*d.value(width), 1) << "the one above is as it was";
    EXPECT_EQ(a.value(height), nullptr) << "nothing is seen from above";
    ASSERT_NE(f.value(name), nullptr);
    EXPECT_EQ(*f.value(name), nullptr) << "an empty value hides the one above";
    EXPECT_EQ(*f.value(width), 3);
  });
}

TEST_P(context_conformance, context_06_neighbour_values_reach_tasks_and_live_as_long_as_their_context) {
  in_runtime([] {
    struct counted {
      explicit counted(int& n) : alive(&n) { ++*alive; }
      counted(counted&& o) noexcept : alive(std::exchange(o.alive, nullptr)) {}
      ~counted() {
        if (alive) --*alive;
      }
      int* alive;
    };
    static constexpr context_key<counted> key;
    int alive = 0;
    {
      std::optional<context> below;
      {
        const context_scope scope(derive_value(context::current(), key, counted(alive)));
        auto other = start([&] {
          const counted* v = context::current().value(key);
          ASSERT_NE(v, nullptr);
          EXPECT_EQ(v->alive, &alive);
          EXPECT_NE(without_cancel(context::current()).value(key), nullptr);
        });
        other.join();
        below = derive_cancel(context::current()).ctx;
      }
      EXPECT_EQ(context::current().value(key), nullptr);
      EXPECT_EQ(alive, 1) << "a context below still knows it";
      EXPECT_NE(below->value(key), nullptr);
    }
    EXPECT_EQ(alive, 0);
  });
}

TEST_P(context_conformance, context_10_a_canceled_child_leaves_the_list_of_its_parent) {
  in_runtime([] {
    auto parent = derive_cancel(context::current());
    const std::int64_t before = live_allocations();
    {
      auto registered = after_func(parent.ctx, [] { ADD_FAILURE() << "it was stopped"; });
      EXPECT_GT(live_allocations(), before);
      EXPECT_TRUE(registered.stop());
    }
    EXPECT_EQ(live_allocations(), before) << "a stopped function leaves nothing with its context";
    EXPECT_EQ(children(parent.ctx), 0u);
    {
      auto child = derive_cancel(parent.ctx);
      EXPECT_EQ(children(parent.ctx), 0u);
      auto registered = after_func(child.ctx, [] {});
      EXPECT_EQ(children(parent.ctx), 1u);
      child.cancel();
      EXPECT_EQ(children(parent.ctx), 0u);
      auto timed = derive_timeout(parent.ctx, 60min);
      EXPECT_EQ(children(parent.ctx), 1u);
      EXPECT_EQ(stats().armed_timers, 1u);
      timed.cancel();
      EXPECT_EQ(children(parent.ctx), 0u);
      EXPECT_EQ(stats().armed_timers, 0u);
      const context kept = derive_cancel(parent.ctx).ctx;
      EXPECT_TRUE(kept.is_canceled()) << "a handle that goes cancels";
      EXPECT_EQ(children(parent.ctx), 0u);
    }
  });
}

TEST_P(context_conformance, context_10_neighbour_a_long_lived_parent_forgets_what_ended_under_it) {
  in_runtime([] {
    auto parent = derive_cancel(context::current());
    const context_scope scope(parent.ctx);
    for (std::size_t i = scaled(2'000); i-- > 0;) {
      start([] { yield(); }).join();
      with_timeout(1h, [] { yield(); });
      auto registered = after_func(context::current(), [] {});
      const auto token = derive_cancel(parent.ctx).ctx.stop_token();
      EXPECT_TRUE(token.stop_possible());
      const context value = from_stop_token(parent.ctx, {});
      EXPECT_FALSE(value.is_canceled());
    }
    EXPECT_EQ(children(parent.ctx), 0u);
    EXPECT_EQ(stats().armed_timers, 0u);
  });
}

TEST_P(context_conformance, context_10_neighbour_a_long_chain_ends_on_a_small_stack) {
  in_runtime([] {
    go({.stack = stack_class::small}, [] {
      static const context_key<int> number;
      std::vector<cancel_handle> handles;
      context last = context::current();
      for (int i = 0; i < 20'000; ++i) {
        last = derive_value(last, number, i);
        auto [ctx, cancel] = derive_cancel(last);
        last = ctx;
        handles.push_back(std::move(cancel));
      }
      EXPECT_EQ(*last.value(number), 19'999);
      handles.front().cancel();
      EXPECT_TRUE(last.is_canceled());
      handles.clear();
    }).get();  // the end of `last` is that of the whole chain
  });
}

TEST_P(context_conformance, context_14_the_cause_of_a_limit_shows_only_when_the_limit_ends_the_context) {
  in_runtime([] {
    const std::exception_ptr too_slow = some_cause();
    auto passed = derive_timeout(context::current(), 0s, too_slow);
    EXPECT_TRUE(by_deadline(passed.ctx));
    EXPECT_EQ(passed.ctx.cause(), too_slow);
    passed.cancel();
    EXPECT_TRUE(by_deadline(passed.ctx));
    EXPECT_EQ(passed.ctx.cause(), too_slow) << "the first cancellation counts";

    auto passes = derive_timeout(context::current(), 1ms, too_slow);
    until_canceled(passes.ctx);
    EXPECT_EQ(passes.ctx.cause(), too_slow);

    auto by_hand = derive_timeout(context::current(), 1h, too_slow);
    by_hand.cancel();
    EXPECT_THROW(by_hand.ctx.check(), canceled);
    EXPECT_FALSE(by_deadline(by_hand.ctx));
    EXPECT_TRUE(holds<canceled>(by_hand.ctx.cause()));
    EXPECT_FALSE(holds<failure>(by_hand.ctx.cause()));
  });
}

TEST_P(context_conformance, context_14_neighbour_the_first_cause_wins_and_goes_down_not_up) {
  in_runtime([] {
    const std::exception_ptr first = some_cause();
    const std::exception_ptr second = some_cause();
    auto above = derive_cancel(context::current());
    auto middle = derive_timeout(above.ctx, 1h, second);
    auto below = derive_cancel(middle.ctx);
    EXPECT_EQ(below.ctx.cause(), nullptr);
    middle.cancel(first);
    middle.cancel(second);
    above.cancel(second);
    EXPECT_EQ(middle.ctx.cause(), first);
    EXPECT_EQ(below.ctx.cause(), first);
    EXPECT_EQ(above.ctx.cause(), second);
    const context_scope scope(below.ctx);
    try {
      sleep_for(1h);
      ADD_FAILURE() << "the ambient context is canceled";
    } catch (const deadline_exceeded&) {
      ADD_FAILURE() << "no limit has passed";
    } catch (const canceled& c) {
      EXPECT_EQ(c.cause(), first);
      EXPECT_EQ(c.origin(), middle.ctx);
    }
  });
}

}  // namespace
}  // namespace runnel::test
