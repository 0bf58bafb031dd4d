// condition_variable: its order, its limits, and the end of its life.
#include "support/fixture.hpp"

#include <runnel/sync/condition_variable.hpp>
#include <runnel/testing/bubble.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class condition_variable_test : public behaviour {};
RUNNEL_EVERY_CALLER(condition_variable_test);

TEST(condition_variable_order, first_come_first_served_and_who_gives_up_leaves_the_rest_in_order) {
  run({.workers = 1}, [] {
    bubble([] {
      mutex m;
      condition_variable changed;
      std::string order;
      std::vector<task<void>> waiters;
      for (const char name : std::string("abcd")) {
        waiters.push_back(go([&, name] {
          std::unique_lock lock(m);
          if (changed.wait_for(lock, name == 'b' ? 1ms : 1h) == std::cv_status::no_timeout) order += name;
        }));
        sleep_for(1us);
      }
      sleep_for(2ms);
      for (int i = 0; i < 3; ++i) {
        changed.notify_one();
        sleep_for(1us);
      }
      for (auto& w : waiters) w.join();
      EXPECT_EQ(order, "acd");
    });
  });
}

TEST_P(condition_variable_test, a_lock_that_owns_nothing_is_refused) {
  in_runtime([] {
    mutex m;
    condition_variable changed;
    std::unique_lock lock(m, std::defer_lock);
    EXPECT_THROW(changed.wait(lock), misuse);
    EXPECT_THROW(changed.wait(lock, [] { return true; }), misuse);
    EXPECT_THROW(static_cast<void>(changed.wait_for(lock, 1ms)), misuse);
  });
}

TEST_P(condition_variable_test, a_canceled_caller_is_refused_with_the_mutex_still_locked) {
  in_runtime([] {
    mutex m;
    condition_variable changed;
    auto d = derive_cancel(context::current());
    d.cancel.cancel();
    std::unique_lock lock(m);
    EXPECT_THROW(changed.wait(d.ctx, lock), canceled);
    EXPECT_THROW(changed.wait(d.ctx, lock, [] { return true; }), canceled);
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_FALSE(m.try_lock());
  });
}

TEST_P(condition_variable_test, it_may_be_destroyed_once_all_are_notified) {
  in_runtime([] {
    for (std::size_t round = scaled(300); round-- > 0;) {
      mutex m;
      auto changed = std::make_unique<condition_variable>();
      std::atomic<int> in{0};
      std::vector<party> waiters;
      for (int n = 0; n < 3; ++n) {
        waiters.push_back(start([&, n, one = changed.get()] {
          std::unique_lock lock(m);
          ++in;
          static_cast<void>(one->wait_for(lock, n == 0 ? duration(20us) : duration(1h)));
        }));
      }
      while (in != 3) yield();
      {
        const std::scoped_lock lock(m);  // all three wait, or have given up
        changed->notify_all();
      }
      changed.reset();
      for (party& p : waiters) p.join();
    }
  });
}

class condition_variable_death_test : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(condition_variable_death_test, destroyed_under_somebody_who_waits_it_names_who) {
  EXPECT_DEATH(run([] {
                 mutex m;
                 auto c = std::make_unique<condition_variable>();
                 auto sleeper = go({.name = "sleeper"}, [&m, &one = *c] {
                   std::unique_lock lock(m);
                   one.wait(lock);
                 });
                 while (stats().parked < 2) yield();
                 c.reset();
               }),
               "condition_variable is destroyed while others wait for it .*\"sleeper\", started at");
}

}  // namespace
}  // namespace runnel::test
