// mutex: who gets the lock, and what a cancellation or a misuse leaves.
#include "support/fixture.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class mutex_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(mutex_conformance);

/// What ends the process: in a child, so not inside a runtime.
class mutex_misuse_death_test : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_P(mutex_conformance, mutex_01_excludes_and_try_lock_tells_the_truth) {
  in_runtime([] {
    mutex m;
    m.lock();
    EXPECT_FALSE(m.try_lock());
    m.unlock();
    EXPECT_TRUE(m.try_lock());
    m.unlock();

    int inside = 0, counted = 0;
    std::atomic<int> taken{0};
    std::vector<party> parties;
    for (int n = 0; n < 10; ++n) {
      parties.push_back(start([&] {
        for (int i = 0; i < 1000; ++i) {
          if (i % 3 == 0) {
            if (!m.try_lock()) continue;
          } else {
            m.lock();
          }
          EXPECT_EQ(++inside, 1);
          ++counted;
          if (i % 50 == 0) yield();
          --inside;
          m.unlock();
          taken.fetch_add(1);
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(counted, taken.load());
    EXPECT_GE(counted, 10 * 666);
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  });
}

TEST_P(mutex_conformance, mutex_01_neighbour_every_way_to_lock_excludes_the_others) {
  in_runtime([] {
    mutex m;
    int counted = 0;
    std::atomic<int> taken{0};
    auto c = derive_cancel(context::current());
    std::vector<party> parties;
    for (int n = 0; n < 6; ++n) {
      parties.push_back(start([&, n, ctx = c.ctx] {
        for (std::size_t i = scaled(500); i-- > 0;) {
          bool locked = true;
          switch (n % 3) {
            case 0: m.lock(ctx); break;
            case 1: locked = m.try_lock_for(1h); break;
            default: locked = m.try_lock_until(steady_clock::now() + 10us); break;
          }
          if (!locked) continue;
          const int before = counted;
          if (i % 7 == 0) yield();
          counted = before + 1;
          m.unlock();
          taken.fetch_add(1);
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(counted, taken.load());
    EXPECT_GE(counted, 4 * static_cast<int>(scaled(500))) << "who has time gets it in the end";
  });
}

TEST_F(mutex_misuse_death_test, mutex_03_unlocking_an_unlocked_mutex_ends_the_process) {
  EXPECT_DEATH(
      {
        mutex m;
        m.unlock();
      },
      "unlock of an unlocked mutex");
  EXPECT_DEATH(
      {
        mutex m;
        m.lock();
        m.unlock();
        m.unlock();
      },
      "unlock of an unlocked mutex");
  EXPECT_DEATH(run([] {
                 mutex m;
                 m.unlock();
               }),
               "unlock of an unlocked mutex");
}

TEST_F(mutex_misuse_death_test, mutex_03_neighbour_destroying_what_is_waited_for_ends_the_process) {
  EXPECT_DEATH(run([] {
                 auto m = std::make_unique<mutex>();
                 m->lock();
                 auto waiting = go([&one = *m] { one.lock(); });
                 while (stats().parked < 2) yield();
                 m.reset();
               }),
               "destroyed while others wait");
  EXPECT_DEATH(run([] {
                 auto w = std::make_unique<wait_group>();
                 channel<unit> never_closed;
                 w->go([never_closed] { never_closed.receive(); });
                 w.reset();
               }),
               "wait_group is destroyed");
}

TEST_P(mutex_conformance, mutex_05_a_canceled_waiter_never_holds_the_lock) {
  in_runtime([this] {
    mutex m;
    for (std::size_t round = scaled(1'000); round-- > 0;) {
      const bool cancel_first = round % 2 != 0;
      auto c = derive_cancel(context::current());
      std::atomic<bool> thrown{false};
      m.lock();
      auto waiter = start([&, ctx = c.ctx] {
        try {
          m.lock(ctx);
        } catch (const canceled&) {
          thrown = true;
          return;
        }
        m.unlock();
      });
      until_waiting(1);
      if (cancel_first) {
        c.cancel();
        waiter.join();
        EXPECT_TRUE(thrown);
        m.unlock();
      } else {
        m.unlock();
        c.cancel();
        waiter.join();
      }
      EXPECT_TRUE(m.try_lock());
      m.unlock();
    }
  });
}

TEST_P(mutex_conformance, mutex_05_neighbour_a_cancellation_in_the_middle_of_the_queue_loses_no_wake_up) {
  in_runtime([this] {
    mutex m;
    for (std::size_t round = scaled(300); round-- > 0;) {
      auto c = derive_cancel(context::current());
      std::atomic<int> locked{0}, thrown{0};
      m.lock();
      std::vector<party> waiters;
      for (int n = 0; n < 4; ++n) {
        waiters.push_back(start([&, n, ctx = c.ctx] {
          try {
            m.lock(n == 1 || n == 2 ? ctx : context::background());
          } catch (const canceled&) {
            thrown.fetch_add(1);
            return;
          }
          locked.fetch_add(1);
          m.unlock();
        }));
      }
      until_waiting(4);
      auto canceler = start([&] { c.cancel(); });
      m.unlock();
      canceler.join();
      for (party& p : waiters) p.join();
      EXPECT_GE(locked.load(), 2);
      EXPECT_EQ(locked.load() + thrown.load(), 4);
    }
  });
}

TEST_P(mutex_conformance, mutex_07_a_thread_and_fibers_hold_it_across_sleeps) {
  in_runtime([this] {
    mutex m;
    int counted = 0;
    const auto hold = [&](std::size_t rounds, auto length) {
      while (rounds-- > 0) {
        const std::lock_guard guard(m);
        const int before = counted;
        sleep_for(length);
        counted = before + 1;
      }
    };
    const int fibers = 100;
    const std::size_t rounds = scaled(20), of_thread = scaled(100);
    // While the thread holds it and fibers wait, no worker may be blocked: another fiber comes to its end.
    channel<unit> held, may_release;
    std::thread thread([&] {
      {
        const std::lock_guard guard(m);
        held.send({});
        may_release.receive();
      }
      hold(of_thread, 50us);
    });
    held.receive();
    std::vector<task<void>> tasks;
    for (int n = 0; n < fibers; ++n) tasks.push_back(go([&] { hold(rounds, 20us); }));
    until_waiting(static_cast<std::size_t>(fibers) + 1);
    go([] { yield(); }).get();
    may_release.send({});
    for (auto& t : tasks) t.get();
    thread.join();
    EXPECT_EQ(counted, fibers * static_cast<int>(rounds) + static_cast<int>(of_thread));
  });
}

TEST_P(mutex_conformance, mutex_07_neighbour_a_waiter_gets_it_although_the_owner_locks_again_at_once) {
  in_runtime([this] {
    mutex m;
    std::atomic<bool> got_it{false};
    m.lock();
    auto waiter = start([&] {
      const std::lock_guard guard(m);
      got_it = true;
    });
    until_waiting(1);
    sleep_for(2ms);  // longer than the patience of a waiter
    m.unlock();
    m.lock();
    EXPECT_TRUE(got_it) << "it was handed over to who has waited for so long";
    m.unlock();
    waiter.join();
  });
}

TEST_P(mutex_conformance, mutex_09_timed_locks_and_the_guards_of_the_standard_library) {
  in_runtime([this] {
    mutex m;
    m.lock();
    const time_point before = steady_clock::now();
    EXPECT_FALSE(m.try_lock_for(10ms));
    EXPECT_GE(steady_clock::now(), before + 10ms);
    EXPECT_FALSE(m.try_lock_until(steady_clock::now() + 1ms));
    EXPECT_FALSE(m.try_lock_for(0s));
    auto waiter = start([&] {
      EXPECT_TRUE(m.try_lock_for(1h));
      m.unlock();
    });
    until_waiting(1);
    m.unlock();
    waiter.join();
    EXPECT_TRUE(m.try_lock_for(-1s)) << "a free one is taken however late";
    m.unlock();

    mutex a, b;
    int both = 0;
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n) {
      parties.push_back(start([&, n] {
        for (std::size_t i = scaled(500); i-- > 0;) {
          const std::scoped_lock guard(n % 2 ? a : b, n % 2 ? b : a);
          const int seen = both;
          if (i % 16 == 0) yield();
          both = seen + 1;
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(both, 4 * static_cast<int>(scaled(500)));
  });
}

TEST_P(mutex_conformance, mutex_09_neighbour_unique_lock_gives_up_and_std_lock_takes_both) {
  in_runtime([this] {
    mutex a, b;
    std::unique_lock held(a);
    channel<unit> has_given_up;
    auto other = start([&] {
      const std::unique_lock given_up(a, std::chrono::milliseconds(1));
      EXPECT_FALSE(given_up.owns_lock());
      has_given_up.send({});
      std::unique_lock first(b, std::defer_lock);
      std::unique_lock second(a, std::defer_lock);
      std::lock(first, second);
      EXPECT_TRUE(first.owns_lock());
      EXPECT_TRUE(second.owns_lock());
    });
    has_given_up.receive();
    until_waiting(1);
    held.unlock();
    other.join();
    EXPECT_EQ(std::try_lock(a, b), -1);
    EXPECT_EQ(std::try_lock(a, b), 0);
    a.unlock();
    b.unlock();
  });
}

TEST_P(mutex_conformance, mutex_11_anybody_may_unlock_and_the_next_waiter_gets_it) {
  in_runtime([this] {
    mutex m;
    for (std::size_t round = scaled(200); round-- > 0;) {
      auto locker = start([&] { m.lock(); });
      locker.join();
      EXPECT_FALSE(m.try_lock());
      std::atomic<bool> got_it{false};
      auto waiter = start([&] {
        m.lock();
        got_it = true;
      });
      until_waiting(1);
      EXPECT_FALSE(got_it);
      if (round % 2) {
        start([&] { m.unlock(); }).join();
      } else {
        std::thread([&] { m.unlock(); }).join();
      }
      waiter.join();
      EXPECT_TRUE(got_it);
      m.unlock();  // what the waiter has locked
    }
  });
}

TEST_P(mutex_conformance, mutex_11_neighbour_what_was_done_under_the_lock_is_seen_by_whoever_gets_it_next) {
  in_runtime([] {
    // The lock goes round as a token: each unlocks what its predecessor has locked.
    mutex turns[3];
    for (mutex& t : turns) t.lock();
    std::vector<std::size_t> order;
    const std::size_t rounds = scaled(1'000);
    std::vector<party> parties;
    for (std::size_t n = 0; n < 3; ++n) {
      parties.push_back(start([&, n] {
        for (std::size_t i = 0; i < rounds; ++i) {
          turns[n].lock();
          order.push_back(n);
          turns[(n + 1) % 3].unlock();
        }
      }));
    }
    turns[0].unlock();
    for (party& p : parties) p.join();
    ASSERT_EQ(order.size(), 3 * rounds);
    for (std::size_t i = 0; i < order.size(); ++i) ASSERT_EQ(order[i], i % 3);
    EXPECT_TRUE(turns[0].try_lock()) << "the last one has passed it on";
    for (mutex& t : turns) t.unlock();
  });
}

}  // namespace
}  // namespace runnel::test
