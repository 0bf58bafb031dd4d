// Every lock: what holds for all of them, for those with readers too, and what is misuse.
#include "support/fixture.hpp"

#include <runnel/sync/reader_preferring_shared_mutex.hpp>
#include <runnel/sync/scalable_shared_mutex.hpp>
#include <runnel/sync/scoped_lock.hpp>
#include <runnel/sync/shared_mutex.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <type_traits>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class locks_test : public behaviour {};
RUNNEL_EVERY_CALLER(locks_test);

/// Calls f(std::type_identity<Lock>) for each kind. (No SCOPED_TRACE: it belongs to a thread, and a fiber moves.)
template <class F>
void with_each_shared(F f) {
  f(std::type_identity<shared_mutex>());
  f(std::type_identity<reader_preferring_shared_mutex>());
  f(std::type_identity<scalable_shared_mutex>());
}
template <class F>
void with_each(F f) {
  f(std::type_identity<mutex>());
  with_each_shared(f);
}

TEST_P(locks_test, one_excludes_the_others) {
  in_runtime([] {
    with_each([]<class Lock>(std::type_identity<Lock>) {
      Lock m;
      int counted = 0;
      std::vector<party> parties;
      for (int n = 0; n < 4; ++n) {
        parties.push_back(start([&] {
          for (std::size_t i = scaled(500); i-- > 0;) {
            const std::scoped_lock lock(m);
            const int before = counted;
            if (i % 16 == 0) yield();
            counted = before + 1;
          }
        }));
      }
      for (party& p : parties) p.join();
      EXPECT_EQ(counted, 4 * static_cast<int>(scaled(500)));
    });
  });
}

TEST_P(locks_test, a_scope_holds_the_lock_to_its_end_and_a_canceled_one_never_has_it) {
  in_runtime([] {
    with_each([]<class Lock>(std::type_identity<Lock>) {
      Lock m;
      auto limited = derive_cancel(context::current());
      {
        const scoped_lock hold(limited.ctx, m);
        start([&] { EXPECT_FALSE(m.try_lock()); }).join();
        limited.cancel.cancel();
      }
      EXPECT_THROW(static_cast<void>(scoped_lock(limited.ctx, m)), canceled);
      ASSERT_TRUE(m.try_lock()) << "who was canceled has left nothing locked";
      m.unlock();
      const scoped_lock hold(m);
      EXPECT_FALSE(m.try_lock());
    });
  });
}

TEST_P(locks_test, a_shared_scope_keeps_writers_out_and_readers_not) {
  in_runtime([] {
    with_each_shared([]<class Lock>(std::type_identity<Lock>) {
      Lock m;
      auto limited = derive_cancel(context::current());
      {
        const scoped_shared_lock hold(m), another(limited.ctx, m);
        EXPECT_FALSE(m.try_lock());
        limited.cancel.cancel();
        EXPECT_THROW(static_cast<void>(scoped_shared_lock(limited.ctx, m)), canceled);
      }
      ASSERT_TRUE(m.try_lock());
      m.unlock();
    });
  });
}

TEST_P(locks_test, try_lock_tells_the_truth_and_the_limit_is_kept) {
  in_runtime([] {
    with_each([]<class Lock>(std::type_identity<Lock>) {
      Lock m;
      ASSERT_TRUE(m.try_lock());
      EXPECT_FALSE(m.try_lock());
      EXPECT_FALSE(m.try_lock_for(1ms));
      EXPECT_FALSE(m.try_lock_until(steady_clock::now()));
      m.unlock();
      EXPECT_TRUE(m.try_lock_for(1h));
      m.unlock();
      const std::unique_lock lock(m, 1h);
      EXPECT_TRUE(lock.owns_lock());
    });
  });
}

TEST_P(locks_test, who_is_canceled_never_holds_it_and_leaves_it_to_the_others) {
  in_runtime([this] {
    with_each([this]<class Lock>(std::type_identity<Lock>) {
      for (std::size_t round = scaled(50); round-- > 0;) {
        Lock m;
        auto d = derive_cancel(context::current());
        m.lock();
        auto hasty = start([&, ctx = d.ctx] { EXPECT_THROW(m.lock(ctx), canceled); });
        until_waiting(1);
        auto patient = start([&] { const std::scoped_lock lock(m); });
        until_waiting(2);
        d.cancel.cancel();
        hasty.join();
        m.unlock();
        patient.join();
        EXPECT_THROW(m.lock(d.ctx), canceled) << "also where it is free";
        EXPECT_TRUE(m.try_lock());
        m.unlock();
      }
    });
  });
}

TEST_P(locks_test, another_may_unlock_and_what_was_done_is_seen) {
  in_runtime([] {
    with_each([]<class Lock>(std::type_identity<Lock>) {
      Lock m;
      int value = 0;
      m.lock();
      auto other = start([&] {
        value = 1;
        m.unlock();
      });
      m.lock();
      EXPECT_EQ(value, 1);
      m.unlock();
      other.join();
    });
  });
}

TEST_P(locks_test, standard_algorithms_lock_two_in_any_order) {
  in_runtime([] {
    with_each([]<class Lock>(std::type_identity<Lock>) {
      Lock a, b;
      int both = 0;
      std::vector<party> parties;
      for (int n = 0; n < 4; ++n) {
        parties.push_back(start([&, n] {
          for (std::size_t i = scaled(200); i-- > 0;) {
            const std::scoped_lock lock(n % 2 ? a : b, n % 2 ? b : a);
            ++both;
          }
        }));
      }
      for (party& p : parties) p.join();
      EXPECT_EQ(both, 4 * static_cast<int>(scaled(200)));
    });
  });
}

TEST_P(locks_test, who_has_it_last_may_destroy_it) {
  in_runtime([] {
    with_each([]<class Lock>(std::type_identity<Lock>) {
      for (std::size_t round = scaled(100); round-- > 0;) {
        auto m = std::make_unique<Lock>();
        m->lock();
        auto other = start([one = m.get()] { one->unlock(); });
        m->lock();
        m->unlock();
        m.reset();
        other.join();
      }
    });
  });
}

TEST_P(locks_test, readers_are_in_together_and_no_writer_with_them) {
  in_runtime([] {
    with_each_shared([]<class Lock>(std::type_identity<Lock>) {
      Lock m;
      const std::shared_lock first(m);
      std::shared_lock second(m, std::try_to_lock);
      EXPECT_TRUE(second.owns_lock());
      EXPECT_FALSE(m.try_lock());
      EXPECT_FALSE(m.try_lock_for(1ms));
      EXPECT_TRUE(m.try_lock_shared_for(1h)) << "the writer has given up";
      m.unlock_shared();
      start([&] { second.unlock(); }).join();
      EXPECT_FALSE(m.try_lock());
    });
  });
}

TEST_P(locks_test, readers_give_up_as_writers_do) {
  in_runtime([this] {
    with_each_shared([this]<class Lock>(std::type_identity<Lock>) {
      Lock m;
      m.lock();
      EXPECT_FALSE(m.try_lock_shared());
      EXPECT_FALSE(m.try_lock_shared_for(1ms));
      auto d = derive_cancel(context::current());
      auto reader = start([&, ctx = d.ctx] { EXPECT_THROW(m.lock_shared(ctx), canceled); });
      until_waiting(1);
      d.cancel.cancel();
      reader.join();
      m.unlock();
      EXPECT_THROW(m.lock_shared(d.ctx), canceled);
      EXPECT_TRUE(m.try_lock());
      m.unlock();
    });
  });
}

TEST_P(locks_test, a_canceled_writer_lets_the_readers_behind_it_in) {
  in_runtime([this] {
    with_each_shared([this]<class Lock>(std::type_identity<Lock>) {
      Lock m;
      m.lock_shared();
      auto d = derive_cancel(context::current());
      auto writer = start([&, ctx = d.ctx] { EXPECT_THROW(m.lock(ctx), canceled); });
      until_waiting(1);
      auto timed = start([&] { EXPECT_FALSE(m.try_lock_for(1ms)); });
      auto reader = start([&] { const std::shared_lock lock(m); });
      timed.join();
      d.cancel.cancel();
      writer.join();
      reader.join();
      m.unlock_shared();
      EXPECT_TRUE(m.try_lock());
      m.unlock();
    });
  });
}

TEST_P(locks_test, many_readers_and_writers_come_and_give_up_and_the_count_is_right) {
  in_runtime([] {
    with_each_shared([]<class Lock>(std::type_identity<Lock>) {
      Lock m;
      std::size_t value = 0;
      std::atomic<std::size_t> expected{0};
      std::vector<party> parties;
      for (int n = 0; n < 6; ++n) {
        parties.push_back(start([&, n] {
          for (std::size_t i = scaled(300); i-- > 0;) {
            const duration limit = std::chrono::nanoseconds(i * 100);
            if (n < 2) {
              if (n == 0) {
                m.lock();
              } else if (!m.try_lock_for(limit)) {
                continue;
              }
              ++value;
              ++expected;
              if (i % 2 == 0) {
                m.unlock();
                continue;
              }
              m.unlock_and_lock_shared();
            } else if (n < 4) {
              m.lock_shared();
            } else if (!m.try_lock_shared_for(limit)) {
              continue;
            }
            const std::size_t seen = value;
            if (i % 16 == 0) yield();
            EXPECT_EQ(value, seen);
            m.unlock_shared();
          }
        }));
      }
      for (party& p : parties) p.join();
      EXPECT_EQ(value, expected);
      EXPECT_TRUE(m.try_lock());
      m.unlock();
    });
  });
}

class locks_death_test : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(locks_death_test, unlocking_what_is_not_locked_ends_the_process) {
  with_each_shared([]<class Lock>(std::type_identity<Lock>) {
    EXPECT_DEATH(Lock().unlock(), "unlock of a shared mutex that nobody writes");
    EXPECT_DEATH(Lock().unlock_and_lock_shared(), "unlock of a shared mutex that nobody writes");
    EXPECT_DEATH(
        {
          Lock m;
          m.unlock_shared();
          m.lock();
        },
        "unlock of a shared mutex that nobody reads");
  });
}

TEST_F(locks_death_test, destroyed_under_somebody_who_waits_it_names_who) {
  with_each_shared([]<class Lock>(std::type_identity<Lock>) {
    EXPECT_DEATH(run([] {
                   auto m = std::make_unique<Lock>();
                   m->lock();
                   auto reader = go({.name = "reader"}, [&one = *m] { one.lock_shared(); });
                   while (stats().parked < 2) yield();
                   m.reset();
                 }),
                 "a shared mutex is destroyed while others wait for it .*\"reader\", started at");
  });
}

}  // namespace
}  // namespace runnel::test
