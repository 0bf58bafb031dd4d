// A context that ends with either of two: the ambient one, and one that an operation was given.
#include "support/fixture.hpp"

#include <runnel/detail/joined_scope.hpp>

#include <atomic>
#include <optional>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;
using detail::joined_scope;

struct flying {};

class joined_scope_laws : public behaviour {
 protected:
  /// What a blocking operation throws, and where that began.
  static void expect_canceled_by(const context& origin, const std::exception_ptr& cause) {
    try {
      this_fiber::checkpoint();
      ADD_FAILURE() << "is not canceled";
    } catch (const canceled& c) {
      EXPECT_EQ(c.origin(), origin);
      EXPECT_EQ(c.cause(), cause);
      EXPECT_TRUE(detail::is_callers_own(c.origin().order()));
    }
  }
};
RUNNEL_EVERY_CALLER(joined_scope_laws);

TEST_P(joined_scope_laws, either_ends_it_before_or_inside_with_its_own_origin_and_cause) {
  in_runtime([] {
    for (const bool by_given : {false, true}) {
      for (const bool before : {false, true}) {
        auto ambient = derive_cancel(context::current());
        auto given = derive_cancel(context::background());
        auto& ends = by_given ? given : ambient;
        const auto cause = std::make_exception_ptr(flying{});
        const context_scope outer(ambient.ctx);
        if (before) ends.cancel(cause);
        {
          const joined_scope both(given.ctx);
          if (!before) {
            EXPECT_FALSE(context::current().is_canceled());
            this_fiber::checkpoint();
            ends.cancel(cause);
          }
          EXPECT_TRUE(context::current().is_canceled());
          EXPECT_EQ(context::current().cause(), cause);
          expect_canceled_by(ends.ctx, cause);
        }
        EXPECT_EQ(context::current().is_canceled(), !by_given) << "outside, only the ambient one counts";
      }
    }
  });
}

TEST_P(joined_scope_laws, one_below_the_other_counts_with_all_above) {
  in_runtime([] {
    auto upper = derive_cancel(context::background());
    auto lower = derive_cancel(upper.ctx);
    for (const bool given_is_lower : {false, true}) {
      const context_scope outer(given_is_lower ? upper.ctx : lower.ctx);
      const joined_scope both(given_is_lower ? lower.ctx : upper.ctx);
      const joined_scope once_more(context::background());
      this_fiber::checkpoint();
    }
    const context_scope outer(upper.ctx);
    const joined_scope both(lower.ctx);
    const joined_scope again(lower.ctx);
    lower.cancel();
    expect_canceled_by(lower.ctx, nullptr);
  });
}

TEST_P(joined_scope_laws, a_shield_shuts_out_the_ambient_one_alone) {
  in_runtime([] {
    auto ambient = derive_cancel(context::current());
    auto given = derive_cancel(context::background());
    const context_scope outer(ambient.ctx);
    ambient.cancel();
    const cancel_shield shield;
    const joined_scope both(given.ctx);
    this_fiber::checkpoint();
    given.cancel();
    expect_canceled_by(given.ctx, nullptr);
  });
}

TEST_P(joined_scope_laws, the_earlier_limit_is_its_deadline_and_the_values_are_the_ambient_ones) {
  static const context_key<int> key, of_the_given;
  in_runtime([] {
    const time_point soon = steady_clock::now() + 1h, late = soon + 1h;
    for (const bool given_is_first : {false, true}) {
      auto ambient = derive_deadline(derive_value(context::background(), key, 1), given_is_first ? late : soon);
      auto given = derive_deadline(derive_value(context::background(), of_the_given, 2), given_is_first ? soon : late);
      const context_scope outer(ambient.ctx);
      const joined_scope both(given.ctx);
      EXPECT_EQ(context::current().deadline(), soon);
      ASSERT_NE(context::current().value(key), nullptr);
      EXPECT_EQ(*context::current().value(key), 1);
      EXPECT_EQ(context::current().value(of_the_given), nullptr);
    }
    auto ambient = derive_cancel(context::background());
    const context_scope outer(ambient.ctx);
    auto over = derive_timeout(context::background(), 0s);
    const joined_scope both(over.ctx);
    EXPECT_THROW(this_fiber::checkpoint(), deadline_exceeded);
  });
}

TEST_P(joined_scope_laws, what_was_started_inside_ends_with_either_also_after_the_scope) {
  in_runtime([] {
    for (const bool by_given : {false, true}) {
      auto ambient = derive_cancel(context::background());
      auto given = derive_cancel(context::background());
      channel<unit> never_sent;
      task<void> t;
      {
        const context_scope outer(ambient.ctx);
        const joined_scope both(given.ctx);
        t = go([&] { never_sent.receive(); });
      }
      EXPECT_FALSE(t.done());
      (by_given ? given : ambient).cancel();
      EXPECT_THROW(t.get(), task_canceled) << "a cancellation from above, and no failure";
    }
  });
}

TEST_P(joined_scope_laws, joined_with_joined_ones_a_cancellation_passes_through_all) {
  in_runtime([] {
    auto first = derive_cancel(context::background());
    auto second = derive_cancel(context::background());
    auto third = derive_cancel(context::background());
    const context_scope outer(first.ctx);
    const joined_scope two(second.ctx);
    std::optional<context> of_two = context::current();
    const context_scope elsewhere(third.ctx);
    const joined_scope all(*of_two);
    second.cancel();
    expect_canceled_by(second.ctx, nullptr);
  });
}

TEST_P(joined_scope_laws, a_cancellation_that_races_with_its_beginning_and_end_reaches_it_or_finds_it_gone) {
  in_runtime([] {
    for (std::size_t i = scaled(2000); i-- > 0;) {
      auto ambient = derive_cancel(context::background());
      auto given = derive_cancel(context::background());
      std::atomic<bool> begun{false};
      auto canceler = start([&, by_given = i % 2 == 0] {
        if (i % 3 == 0)
          while (!begun) yield();
        (by_given ? given : ambient).cancel();
      });
      const context_scope outer(ambient.ctx);
      {
        const joined_scope both(given.ctx);
        begun = true;
        if (i % 5 != 0) {
          channel<unit> never_sent;
          EXPECT_THROW(never_sent.receive(), canceled);
        }
      }
      const cancel_shield shield;
      canceler.join();
    }
  });
}

}  // namespace
}  // namespace runnel::test
