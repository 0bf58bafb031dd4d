// condition_variable: who is woken by which notification, and what a cancellation leaves.
#include "support/fixture.hpp"

#include <runnel/sync/condition_variable.hpp>

#include <atomic>
#include <deque>
#include <mutex>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class cond_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(cond_conformance);

TEST_P(cond_conformance, cond_01_each_notification_releases_exactly_one) {
  in_runtime([this] {
    mutex m;
    condition_variable changed;
    int awake = 0;
    channel<unit> woke;
    const auto waiter = [&] {
      std::unique_lock lock(m);
      changed.wait(lock);
      ++awake;
      lock.unlock();
      woke.send({});
    };
    const auto count = [&] {
      const std::scoped_lock lock(m);
      return awake;
    };
    auto a = start(waiter), b = start(waiter);
    until_waiting(2);
    EXPECT_EQ(count(), 0);
    changed.notify_one();
    woke.receive();
    EXPECT_EQ(count(), 1);
    changed.notify_one();
    woke.receive();
    EXPECT_EQ(count(), 2);
    changed.notify_one();
    a.join();
    b.join();
  });
}

TEST_P(cond_conformance, cond_01_neighbour_a_notification_that_nobody_waits_for_is_not_kept) {
  in_runtime([] {
    mutex m;
    condition_variable changed;
    changed.notify_one();
    changed.notify_all();
    std::unique_lock lock(m);
    EXPECT_EQ(changed.wait_for(lock, 1ms), std::cv_status::timeout);
    EXPECT_TRUE(lock.owns_lock());
    EXPECT_FALSE(changed.wait_for(lock, 1ms, [] { return false; }));
    EXPECT_TRUE(changed.wait_for(lock, 0ms, [] { return true; }));
  });
}

TEST_P(cond_conformance, cond_03_each_round_wakes_all_once) {
  in_runtime([] {
    constexpr int waiters = 200;
    const std::size_t rounds = scaled(200);
    mutex m;
    condition_variable round_begins, all_wait;
    int waiting = 0;
    std::vector<int> woken(rounds, 0);
    std::vector<party> parties;
    for (int n = 0; n < waiters; ++n) {
      parties.push_back(start([&] {
        std::unique_lock lock(m);
        for (int& count : woken) {
          if (++waiting == waiters) all_wait.notify_one();
          round_begins.wait(lock);
          ++count;
        }
      }));
    }
    for (std::size_t r = 0; r < rounds; ++r) {
      std::unique_lock lock(m);
      all_wait.wait(lock, [&] { return waiting == waiters; });
      waiting = 0;
      round_begins.notify_all();
    }
    for (party& p : parties) p.join();
    for (const int count : woken) EXPECT_EQ(count, waiters);
  });
}

TEST_P(cond_conformance, cond_03_neighbour_one_notification_for_each_value_loses_none) {
  in_runtime([] {
    constexpr std::size_t limit = 4;
    const std::size_t each = scaled(1'000);
    mutex m;
    condition_variable not_empty, not_full;
    std::deque<std::size_t> values;
    std::size_t sum = 0;
    std::vector<party> parties;
    for (int n = 0; n < 3; ++n) {
      parties.push_back(start([&] {
        for (std::size_t i = 1; i <= each; ++i) {
          std::unique_lock lock(m);
          not_full.wait(lock, [&] { return values.size() < limit; });
          values.push_back(i);
          not_empty.notify_one();
        }
      }));
      parties.push_back(start([&] {
        for (std::size_t i = 1; i <= each; ++i) {
          std::unique_lock lock(m);
          not_empty.wait(lock, [&] { return !values.empty(); });
          sum += values.front();
          values.pop_front();
          lock.unlock();
          not_full.notify_one();
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(sum, 3 * each * (each + 1) / 2);
  });
}

TEST_P(cond_conformance, cond_05_a_newcomer_does_not_keep_notify_all_from_who_waits) {
  in_runtime([this] {
    for (std::size_t round = scaled(300); round-- > 0;) {
      mutex m;
      condition_variable changed;
      bool over = false;
      auto first = start([&] {
        std::unique_lock lock(m);
        changed.wait(lock);
      });
      until_waiting(1);
      auto newcomer = start([&] {
        std::unique_lock lock(m);
        changed.wait(lock, [&] { return over; });
      });
      changed.notify_all();
      first.join();
      {
        const std::scoped_lock lock(m);
        over = true;
      }
      changed.notify_all();
      newcomer.join();
    }
  });
}

TEST_P(cond_conformance, cond_05_neighbour_a_single_notification_goes_to_who_waits_and_not_to_who_comes) {
  in_runtime([this] {
    for (std::size_t round = scaled(300); round-- > 0;) {
      mutex m;
      condition_variable changed;
      std::atomic<bool> second{false};
      auto first = start([&] {
        std::unique_lock lock(m);
        changed.wait(lock);
      });
      until_waiting(1);
      auto newcomer = start([&] {
        std::unique_lock lock(m);
        changed.wait(lock);
        EXPECT_TRUE(second);
      });
      changed.notify_one();
      first.join();
      until_waiting(1);
      second = true;
      changed.notify_one();
      newcomer.join();
    }
  });
}

TEST_P(cond_conformance, cond_07_a_canceled_wait_throws_with_the_mutex_locked_again) {
  in_runtime([this] {
    mutex m;
    condition_variable changed;
    std::atomic<bool> ended{false};
    auto d = derive_cancel(context::current());
    auto waiter = start([&, ctx = d.ctx] {
      std::unique_lock lock(m);
      EXPECT_THROW(changed.wait(ctx, lock), canceled);
      EXPECT_TRUE(lock.owns_lock());
      ended = true;
    });
    until_waiting(1);
    m.lock();
    d.cancel.cancel();
    until_waiting(1);
    EXPECT_FALSE(ended);
    m.unlock();
    waiter.join();
    EXPECT_TRUE(ended);
  });
}

TEST_P(cond_conformance, cond_07_neighbour_who_is_canceled_uses_up_no_notification) {
  in_runtime([this] {
    for (std::size_t round = scaled(300); round-- > 0;) {
      mutex m;
      condition_variable changed;
      int notified = 0;
      auto d = derive_cancel(context::current());
      auto hasty = start([&, ctx = d.ctx] {
        std::unique_lock lock(m);
        try {
          changed.wait(ctx, lock);
          ++notified;
          changed.notify_one();  // passed on by who was not canceled
        } catch (const canceled&) {
        }
        EXPECT_TRUE(lock.owns_lock());
      });
      until_waiting(1);
      auto patient = start([&] {
        std::unique_lock lock(m);
        changed.wait(lock);
        ++notified;
      });
      until_waiting(2);
      auto canceler = start([&] { d.cancel.cancel(); });
      changed.notify_one();
      patient.join();
      hasty.join();
      canceler.join();
      EXPECT_GE(notified, 1);
    }
  });
}

}  // namespace
}  // namespace runnel::test
