// The law of cancellation in many orders of events, for every operation of the table that takes a context: the cancellation of
// that context races with what the operation waits for.
#include "../cancellation_operations.hpp"
#include "explored.hpp"

namespace runnel::test {
namespace {

/// Blocks in op until it takes place or `given` is canceled, which both happen; whether it took place.
bool took_place(const operation& op) {
  const auto s = op.make();
  auto given = derive_cancel(context::background());
  std::atomic<bool> over{false}, done{false};
  auto blocked = go([&] {
    try {
      op.block_with(*s, given.ctx);
      done = true;
    } catch (const canceled& c) {
      require(c.origin() == given.ctx, "canceled by another one");
    }
    over = true;
  });
  auto canceler = go([&] { given.cancel(); });
  s->unblock(over);
  blocked.get();
  canceler.get();
  s->check(done);
  return done;
}

/// Not those that poll, or that depend on a clock or kernel of their own.
bool can_be_explored(const operation& op) {
  return op.can_unblock && op.unblocks_early && !op.slow && op.when_canceled == answer::throws;
}

TEST(explored_cancellation, of_a_context_that_is_given_loses_nothing) {
  for (const operation& op : operations()) {
    if (!op.block_with || !can_be_explored(op)) continue;
    SCOPED_TRACE(op.name);
    std::size_t took = 0, threw = 0;
    holds_in(1'000, [&] {
      ++(took_place(op) ? took : threw);
      require(!::testing::Test::HasFailure(), "the state says what it lost");
    });
    ASSERT_FALSE(HasFailure());
    EXPECT_TRUE(took > 0 && threw > 0) << "took place " << took << " times, threw " << threw << " times";
  }
}

TEST(explored_cancellation, who_waits_for_a_slot_is_not_canceled_by_the_group_but_by_a_context_that_is_given) {
  std::size_t started = 0, refused = 0;
  holds_in(5'000, [&] {
    auto given = derive_cancel(context::background());
    std::atomic<int> ran{0};
    bool canceled_by_given = false;
    task_group g({.limit = 1});
    g.go([] { yield(); });
    auto canceler = go([&] { given.cancel(); });
    auto group_canceler = go([&] { g.cancel(); });
    {
      const context_scope under_the_group(g.get_context());
      try {
        g.go(given.ctx, [&] { ++ran; });
      } catch (const canceled& c) {
        require(c.origin() == given.ctx, "canceled by the group");
        canceled_by_given = true;
      }
    }
    auto below = derive_cancel(g.get_context());
    g.go(below.ctx, [&] { ++ran; });
    canceler.get();
    group_canceler.get();
    g.wait();
    require(ran == (canceled_by_given ? 1 : 2), "who was refused has run, or a slot is lost");
    ++(canceled_by_given ? refused : started);
  });
  EXPECT_TRUE(started > 0 && refused > 0) << started << " started, " << refused << " refused";
}

}  // namespace
}  // namespace runnel::test
