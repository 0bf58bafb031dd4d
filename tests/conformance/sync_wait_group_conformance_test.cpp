// wait_group: who is woken, what a cancellation or a misuse leaves.
#include "support/fixture.hpp"

#include <runnel/testing/bubble.hpp>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class wait_group_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(wait_group_conformance);

/// What ends the process: in a child, so not inside a runtime.
class wait_group_misuse_death_test : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_P(wait_group_conformance, waitgroup_02_one_done_too_many_is_misuse_and_changes_nothing) {
  in_runtime([] {
    wait_group w;
    w.add(1);
    w.done();
    EXPECT_THROW(w.done(), misuse);
    w.wait();
    w.add(1);
    EXPECT_FALSE(w.wait_for(0s)) << "it counts as before";
    w.done();
    w.wait();
  });
}

TEST_P(wait_group_conformance, waitgroup_02_a_counter_that_is_too_high_is_refused) {
  in_runtime([] {
    wait_group w;
    w.add(4'294'967'295);
    EXPECT_THROW(w.add(), misuse);
    EXPECT_THROW(w.add(-4'294'967'296), misuse);
    EXPECT_FALSE(w.wait_for(0s));
    w.add(-4'294'967'295);
    w.wait();
  });
}

TEST_F(wait_group_misuse_death_test, waitgroup_02_one_done_too_many_during_unwinding_ends_the_process) {
  EXPECT_DEATH(
      {
        wait_group w;
        struct late {
          wait_group& group;
          ~late() { group.done(); }
        };
        try {
          const late at_end{w};
          throw std::runtime_error("flies");
        } catch (const std::runtime_error&) {
          std::_Exit(0);
        }
      },
      "one done\\(\\) too many");
}

TEST_P(wait_group_conformance, waitgroup_02_neighbour_a_fiber_that_fails_is_counted_out_and_its_error_reported) {
  static std::atomic<int> unhandled;
  unhandled = 0;
  set_unhandled_hook([](std::exception_ptr, fiber_info) noexcept { unhandled.fetch_add(1); });
  in_runtime([] {
    bubble([] {
      wait_group w;
      auto c = derive_cancel(context::current());
      {
        const context_scope scope(c.ctx);
        w.go([] { throw std::runtime_error("nobody takes this"); });
        w.go([] { sleep_for(1h); });
        w.go([] {});
        w.go([] { with_timeout(0s, [] { sleep_for(1h); }); });
      }
      w.add(3);
      w.add(-3);
      EXPECT_FALSE(w.wait_for(1ms)) << "one sleeps";
      c.cancel();
      w.wait();
      EXPECT_EQ(unhandled.load(), 2) << "a time limit inside is a failure, a cancellation of its own is none";
    });
  });
  set_unhandled_hook(nullptr);
}

TEST_P(wait_group_conformance, a_wait_sees_the_zero_though_the_counter_goes_up_at_once) {
  in_runtime([this] {
    wait_group w;
    w.add();
    auto waiter = start([&] { w.wait(); });
    until_waiting(1);
    w.done();
    w.add();
    waiter.join();
    EXPECT_FALSE(w.wait_for(0s));
    w.done();
    w.wait();
  });
}

TEST_P(wait_group_conformance, waitgroup_06_canceled_waiters_throw_and_the_others_wait_on) {
  in_runtime([this] {
    wait_group w;
    for (int generation = 0; generation < 2; ++generation) {
      w.add(2);
      auto c = derive_cancel(context::current());
      std::atomic<int> canceled_waiters{0}, released{0};
      std::vector<party> waiters;
      for (int i = 0; i < 100; ++i) {
        waiters.push_back(start([&, i, ctx = c.ctx] {
          try {
            i % 2 ? w.wait(ctx) : w.wait();
            released.fetch_add(1);
          } catch (const canceled&) {
            canceled_waiters.fetch_add(1);
          }
        }));
      }
      until_waiting(100);
      w.done();
      c.cancel();
      for (std::size_t i = 1; i < 100; i += 2) waiters[i].join();
      EXPECT_EQ(canceled_waiters.load(), 50);
      EXPECT_EQ(released.load(), 0);
      w.done();
      for (std::size_t i = 0; i < 100; i += 2) waiters[i].join();
      EXPECT_EQ(released.load(), 50);
    }
  });
}

TEST_P(wait_group_conformance, waitgroup_06_neighbour_it_may_be_destroyed_as_soon_as_wait_has_returned) {
  in_runtime([] {
    channel<wait_group*> counted_down(16);
    // The last of them may still be in done() when the owner has gone on.
    std::vector<party> others;
    for (int n = 0; n < 2; ++n) {
      others.push_back(start([counted_down] {
        for (wait_group* w : counted_down) w->done();
      }));
    }
    std::atomic<bool> early{false};
    for (std::size_t i = scaled(4'000); i-- > 0;) {
      auto w = std::make_unique<wait_group>();
      w->add(2);
      counted_down.send(w.get());
      counted_down.send(w.get());
      w->wait();
      if (!w->wait_for(0s)) early = true;
      w.reset();
    }
    EXPECT_FALSE(early) << "wait() has returned before the last done()";
    counted_down.close();
    for (party& p : others) p.join();
  });
}

}  // namespace
}  // namespace runnel::test
