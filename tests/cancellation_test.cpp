// The law of cancellation, for every operation of the table in each situation: who is canceled throws and has consumed
// nothing; what took place took place wholly.
#include "cancellation_operations.hpp"

#include <random>

namespace runnel::test {
namespace {

struct flying {};

/// What became of one operation.
struct result {
  std::atomic<bool> over{false};
  std::exception_ptr thrown;
  bool took_place() const { return !thrown; }
};

class cancellation : public behaviour {
 protected:
  /// Runs f under ctx beside the caller.
  static party beside(const context& ctx, result& r, std::function<void()> f) {
    return start([&r, ctx, f = std::move(f)] {
      {
        const context_scope scope(ctx);
        try {
          f();
        } catch (...) {
          r.thrown = std::current_exception();
        }
      }
      r.over = true;
    });
  }
  void until_parked(const operation& op) const { until_waiting(1 + op.others); }

  /// Every operation, each in a runtime of its own: what one leaves behind is not taken for another's.
  template <class F>
  void for_each(F&& scenario) {
    for (const operation& op : operations()) {
      in_runtime([&] { scenario(op); });
      ASSERT_FALSE(HasFailure()) << "in the operation " << op.name;
    }
  }

  static void expect_canceled(const operation& op, const result& r, const context& origin, const std::exception_ptr& cause) {
    ASSERT_NE(r.thrown, nullptr) << op.name << " has to throw";
    try {
      std::rethrow_exception(r.thrown);
    } catch (const deadline_exceeded&) {
      ADD_FAILURE() << op.name << ": there was no limit";
    } catch (const canceled& c) {
      EXPECT_EQ(c.origin(), origin) << op.name;
      EXPECT_EQ(c.cause(), cause) << op.name;
    } catch (...) {
      ADD_FAILURE() << op.name << " throws something else";
    }
  }
  /// Lets what ignores its cancellation come to its end.
  void expect_ignored(const operation& op, state& s, result& r, party& p) const {
    if (op.parks) {
      until_parked(op);
      EXPECT_FALSE(r.over) << op.name << " went on without what it waits for";
    }
    s.unblock(r.over);
    p.join();
    EXPECT_TRUE(r.took_place()) << op.name << " is no cancellation point";
    s.check(true);
  }

  /// It waits for the test, and not for a while.
  static bool stays_blocked(const operation& op) { return op.parks && op.can_unblock; }
  /// What must not observe its cancellation is canceled while it waits, and comes to its end.
  void expect_unobserved(const operation& op, cancel_handle& cancel, state& s, result& r, party& p) const {
    if (stays_blocked(op)) {
      until_parked(op);
      cancel();
      EXPECT_FALSE(r.over) << op.name;
    }
    s.unblock(r.over);
    p.join();
    EXPECT_TRUE(r.took_place()) << op.name;
    s.check(true);
  }
};
RUNNEL_EVERY_CALLER(cancellation);

std::exception_ptr some_cause() { return std::make_exception_ptr(flying{}); }

TEST_P(cancellation, before_it_is_met_on_entry_even_if_the_operation_could_proceed) {
  for_each([this](const operation& op) {
    for (const bool could_proceed : {false, true}) {
      if (could_proceed && !(op.unblocks_early && op.can_unblock && op.checks_first)) continue;
      const auto s = op.make();
      const std::exception_ptr cause = some_cause();
      auto c = derive_cancel(context::current());
      c.cancel(cause);
      result r;
      if (could_proceed) s->unblock(r.over);
      auto p = beside(c.ctx, r, [&] { op.block(*s); });
      if (op.when_canceled == answer::ignores) {
        if (!could_proceed) {
          expect_ignored(op, *s, r, p);
          continue;
        }
        p.join();
        EXPECT_TRUE(r.took_place()) << op.name;
        s->check(true);
        continue;
      }
      p.join();
      expect_canceled(op, r, c.ctx, cause);
      if (!could_proceed) s->unblock(r.over);
      s->check(false);
    }
  });
}

TEST_P(cancellation, while_parked_it_ends_the_wait) {
  for_each([this](const operation& op) {
    if (!op.parks) return;
    const auto s = op.make();
    const std::exception_ptr cause = some_cause();
    auto c = derive_cancel(context::current());
    result r;
    auto p = beside(c.ctx, r, [&] { op.block(*s); });
    until_parked(op);
    if (op.when_canceled == answer::stops) s->until_begun();
    c.cancel(cause);
    switch (op.when_canceled) {
      case answer::throws:
        p.join();
        expect_canceled(op, r, c.ctx, cause);
        s->unblock(r.over);
        s->check(false);
        break;
      case answer::stops:
        p.join();
        EXPECT_TRUE(r.took_place()) << op.name;
        s->check(true);
        break;
      case answer::ignores:
        expect_ignored(op, *s, r, p);
        break;
    }
  });
}

TEST_P(cancellation, racing_with_the_commit_it_loses_nothing) {
  struct round {
    const operation& op;
    std::unique_ptr<state> s;
    context ctx;
    bool with_explicit;
    unsigned delay;
    result r{};
  };
  // A moment that differs from time to time; on one worker only the turns count.
  static const auto linger = [](unsigned n) {
    for (unsigned turns = n % 4; turns > 0; --turns) yield();
    for (std::atomic<unsigned> spins{n / 4 % 256}; spins > 0; --spins) {
    }
  };
  std::mt19937 generator(static_cast<unsigned>(seed()));
  const auto random = [&] { return static_cast<unsigned>(generator()); };
  for_each([&](const operation& op) {
    const channel<round*> to_block, to_unblock;
    const channel<unit> finished;
    auto blocking_party = start([=] {
      for (round* r : to_block) {
        {
          const context_scope scope(r->with_explicit ? context::background() : r->ctx);
          try {
            r->with_explicit ? r->op.block_with(*r->s, r->ctx) : r->op.block(*r->s);
          } catch (const canceled&) {
            r->r.thrown = std::current_exception();
          }
        }
        r->r.over = true;
        finished.send({});
      }
    });
    auto unblocking_party = start([=] {
      for (round* r : to_unblock) {
        linger(r->delay);
        r->s->unblock(r->r.over);
        finished.send({});
      }
    });
    for (std::size_t i = scaled(500); i-- > 0;) {  // for each of four callers
      auto c = derive_cancel(context::current());
      round r{op, op.make(), c.ctx, op.block_with && i % 2 != 0, random()};
      r.s->brief = true;
      to_block.send(&r);
      to_unblock.send(&r);
      linger(random());
      if (op.slow && i % 4 != 0) sleep_for(std::chrono::microseconds(random() % 150));
      c.cancel();
      for (int n = 0; n < 2; ++n) finished.receive();
      EXPECT_TRUE(op.when_canceled != answer::ignores || r.r.took_place()) << op.name;
      r.s->check(r.r.took_place());
    }
    to_block.close();
    to_unblock.close();
    blocking_party.join();
    unblocking_party.join();
  });
}

TEST_P(cancellation, shielded_it_is_not_observed_until_the_shield_ends) {
  for_each([this](const operation& op) {
    for (const bool before : {true, false}) {
      if (!before && !stays_blocked(op)) continue;
      const auto s = op.make();
      s->brief = true;
      auto c = derive_cancel(context::current());
      if (before) c.cancel();
      result r;
      auto p = beside(c.ctx, r, [&] {
        {
          const cancel_shield shield;
          op.block(*s);
        }
        EXPECT_THROW(yield(), canceled) << op.name << ": afterwards it counts again";
      });
      expect_unobserved(op, c.cancel, *s, r, p);
    }
  });
}

TEST_P(cancellation, during_unwinding_destructors_may_block) {
  for_each([this](const operation& op) {
    for (const unsigned variant : {0u, 1u, 2u, 3u}) {
      const bool with_explicit = variant & 1, before = variant & 2;
      if (with_explicit && !op.block_with) continue;
      const auto s = op.make();
      s->brief = true;
      auto c = derive_cancel(context::current());
      if (before || !stays_blocked(op)) c.cancel();
      result r;
      auto p = beside(c.ctx, r, [&] {
        const auto clean_up = [&](state* blocked) { with_explicit ? op.block_with(*blocked, c.ctx) : op.block(*blocked); };
        try {
          const std::unique_ptr<state, decltype(clean_up)> at_end(s.get(), clean_up);
          throw flying{};
        } catch (const flying&) {
        }
        EXPECT_EQ(std::uncaught_exceptions(), 0);
        EXPECT_THROW(yield(), canceled) << op.name << ": afterwards it counts again";
      });
      expect_unobserved(op, c.cancel, *s, r, p);
    }
  });
}

TEST_P(cancellation, by_a_limit_it_is_deadline_exceeded) {
  for_each([this](const operation& op) {
    for (const auto limit : {0us, 1000us}) {
      if (limit > 0us && !op.parks) continue;
      const auto s = op.make();
      result r;
      const time_point before = steady_clock::now();
      std::optional<context> limited;
      auto p = beside(context::current(), r, [&] {
        with_timeout(limit, [&] {
          limited = context::current();
          op.block(*s);
        });
      });
      if (op.when_canceled == answer::ignores) {
        expect_ignored(op, *s, r, p);
        continue;
      }
      p.join();
      EXPECT_GE(steady_clock::now(), before + limit) << op.name << ": too early";
      EXPECT_TRUE(op.when_canceled != answer::throws || r.thrown) << op.name;
      if (!r.took_place()) {
        try {
          std::rethrow_exception(r.thrown);
        } catch (const deadline_exceeded& e) {
          EXPECT_EQ(e.origin(), *limited) << op.name;
        } catch (...) {
          ADD_FAILURE() << op.name << " throws something else";
        }
      }
      s->unblock(r.over);
      s->check(r.took_place());
    }
  });
}

TEST_P(cancellation, of_a_context_that_is_given_counts_besides_the_ambient_one) {
  enum class when { given_before, given_while_parked, given_under_a_shield, ambient_while_parked };
  for_each([this](const operation& op) {
    if (!op.block_with) return;
    for (const when w :
         {when::given_before, when::given_while_parked, when::given_under_a_shield, when::ambient_while_parked}) {
      if (w != when::given_before && !op.parks) continue;
      const auto s = op.make();
      const std::exception_ptr cause = some_cause();
      auto given = derive_cancel(context::background());
      auto ambient = derive_cancel(context::current());
      auto& counts = w == when::ambient_while_parked ? ambient : given;
      if (w == when::given_before) counts.cancel(cause);
      result r;
      auto p = beside(ambient.ctx, r, [&] {
        std::optional<cancel_shield> shield;
        if (w == when::given_under_a_shield) shield.emplace();
        op.block_with(*s, given.ctx);
      });
      if (w != when::given_before) {
        until_parked(op);
        if (op.when_canceled == answer::stops) s->until_begun();
        EXPECT_FALSE(r.over) << op.name;
        counts.cancel(cause);
      }
      p.join();
      if (op.when_canceled == answer::ignores || (op.when_canceled == answer::stops && w != when::given_before)) {
        EXPECT_TRUE(r.took_place()) << op.name;
        s->check(true);
        continue;
      }
      expect_canceled(op, r, counts.ctx, cause);
      s->unblock(r.over);
      s->check(false);
    }
  });
}

TEST_P(cancellation, of_a_context_that_is_given_is_met_on_entry_even_if_the_operation_could_proceed) {
  for_each([](const operation& op) {
    if (!op.block_with || !op.can_unblock || !op.unblocks_early) return;
    for (const bool canceled_before : {false, true}) {
      if (canceled_before && !op.checks_first) continue;
      const auto s = op.make();
      auto given = derive_cancel(context::background());
      if (canceled_before) given.cancel();
      result r;
      s->unblock(r.over);
      auto p = beside(context::current(), r, [&] { op.block_with(*s, given.ctx); });
      p.join();
      if (canceled_before && op.when_canceled != answer::ignores) {
        expect_canceled(op, r, given.ctx, nullptr);
      } else {
        EXPECT_TRUE(r.took_place()) << op.name << ": a context that is not canceled changes nothing";
      }
      s->check(r.took_place());
    }
  });
}

}  // namespace
}  // namespace runnel::test
