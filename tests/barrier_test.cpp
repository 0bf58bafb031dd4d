// barrier: phases, completion, and arrivals that are taken back.
#include "support/fixture.hpp"

#include <runnel/sync/barrier.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class barrier_laws : public behaviour {};
RUNNEL_EVERY_CALLER(barrier_laws);

TEST_P(barrier_laws, none_begins_a_phase_before_all_have_ended_the_last) {
  in_runtime([] {
    constexpr std::size_t parts = 4;
    int cells[parts] = {};
    int completed = 0;  // not atomic: the barrier orders everything
    const auto complete = [&]() noexcept {
      ++completed;
      for (const int c : cells) EXPECT_EQ(c, (completed + 1) / 2);
    };
    barrier<decltype(complete)> b(parts, complete);
    const int rounds = static_cast<int>(scaled(300));
    std::vector<party> parties;
    for (std::size_t n = 0; n < parts; ++n) {
      parties.push_back(start([&, n] {
        for (int round = 0; round < rounds; ++round) {
          ++cells[n];
          b.arrive_and_wait();
          for (const int c : cells) EXPECT_EQ(c, round + 1);
          b.arrive_and_wait_for(1h);  // nobody writes before all have read
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(completed, 2 * rounds);
  });
}

TEST_P(barrier_laws, a_token_is_waited_for_later_and_again) {
  in_runtime([] {
    barrier b(2);
    auto mine = b.arrive();
    EXPECT_FALSE(b.wait_for(std::move(mine), 1us));
    auto c = derive_cancel(context::current());
    c.cancel();
    {
      const context_scope scope(c.ctx);
      EXPECT_THROW(b.wait(std::move(mine)), canceled);
    }
    auto other = start([&] { b.arrive_and_wait(); });
    b.wait(std::move(mine));
    other.join();
    auto two = b.arrive(2);
    b.wait(std::move(two));
  });
}

TEST_P(barrier_laws, who_drops_out_is_not_waited_for_again) {
  in_runtime([] {
    int phases = 0;
    const auto complete = [&]() noexcept { ++phases; };
    barrier<decltype(complete)> b(2, complete);
    auto other = start([&] { b.arrive_and_drop(); });
    b.arrive_and_wait();
    other.join();
    b.arrive_and_wait();
    b.arrive_and_wait();
    EXPECT_EQ(phases, 3);
    b.arrive_and_drop();
    EXPECT_THROW(b.arrive_and_wait(), misuse) << "nobody is left";
  });
}

TEST_P(barrier_laws, too_many_arrivals_are_misuse_and_count_nothing) {
  in_runtime([] {
    barrier b(2);
    EXPECT_THROW(static_cast<void>(b.arrive(3)), misuse);
    EXPECT_THROW(static_cast<void>(b.arrive(0)), misuse);
    EXPECT_THROW(barrier(-1), misuse);
    EXPECT_THROW(barrier(0).arrive_and_wait(), misuse) << "none is expected";
    barrier most(barrier<>::max());
    most.wait(most.arrive(barrier<>::max()));
    auto first = b.arrive();
    auto second = b.arrive();
    b.wait(std::move(first));
    b.wait(std::move(second));
  });
}

TEST_P(barrier_laws, who_is_canceled_or_too_late_has_not_arrived) {
  in_runtime([this] {
    barrier b(2);
    EXPECT_FALSE(b.arrive_and_wait_for(1us));
    auto c = derive_cancel(context::current());
    std::atomic<bool> thrown{false};
    auto canceled_one = start([&, ctx = c.ctx] {
      const context_scope scope(ctx);
      try {
        b.arrive_and_wait();
      } catch (const canceled&) {
        thrown = true;
      }
    });
    until_waiting(1);
    c.cancel();
    canceled_one.join();
    EXPECT_TRUE(thrown);
    auto token = b.arrive();
    EXPECT_FALSE(b.wait_for(std::move(token), 0s)) << "the only one here";
    auto other = start([&] { b.arrive_and_wait(); });
    b.wait(std::move(token));
    other.join();
  });
}

TEST_P(barrier_laws, who_is_canceled_once_all_are_there_goes_on_behind_the_completion) {
  in_runtime([this] {
    channel<unit> gate;
    const auto complete = [&]() noexcept { gate.receive(); };
    barrier<decltype(complete)> b(2, complete);
    auto c = derive_cancel(context::current());
    std::atomic<bool> passed{false};
    auto early = start([&, ctx = c.ctx] {
      b.arrive_and_wait(ctx);
      passed = true;
    });
    until_waiting(1);
    auto last = start([&] { b.arrive_and_wait(); });
    until_waiting(2);
    c.cancel();
    EXPECT_FALSE(passed);
    gate.send({});
    early.join();
    last.join();
    EXPECT_TRUE(passed) << "the phase had everybody";
  });
}

TEST_P(barrier_laws, who_returns_from_the_last_phase_may_destroy_it) {
  in_runtime([] {
    using arrival = void (*)(barrier<>&);
    // The other party may still be inside when this one goes on: on its way out, or arrived and about to wait.
    const arrival drops = [](barrier<>& b) { b.arrive_and_drop(); }, waits = [](barrier<>& b) { b.arrive_and_wait(); };
    for (const arrival others : {drops, waits}) {
      channel<barrier<>*> given(4);
      auto other = start([given, others] {
        for (barrier<>* b : given) others(*b);
      });
      for (std::size_t i = scaled(4'000); i-- > 0;) {
        auto b = std::make_unique<barrier<>>(2);
        given.send(b.get());
        b->arrive_and_wait();
        b.reset();
      }
      given.close();
      other.join();
    }
  });
}

}  // namespace
}  // namespace runnel::test
