// mutex: its size, its fairness, and what a waiter that gives up leaves behind.
#include "support/fixture.hpp"

#include <runnel/testing/bubble.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

static_assert(sizeof(mutex) == 8);

class mutex_test : public behaviour {};
RUNNEL_EVERY_CALLER(mutex_test);

/// In virtual time, on one worker: whoever runs does so until it waits.
void in_bubble(const std::function<void()>& body) {
  run({.workers = 1}, [&] { bubble(body); });
}

TEST(mutex_fairness, a_newcomer_may_be_faster_than_who_has_just_begun_to_wait) {
  in_bubble([] {
    mutex m;
    m.lock();
    auto waiter = go([&] { const std::scoped_lock held(m); });
    sleep_for(999us);
    m.unlock();
    EXPECT_TRUE(m.try_lock());
    m.unlock();
    waiter.join();
  });
}

TEST(mutex_fairness, who_has_waited_for_a_millisecond_gets_the_lock_from_the_hands_of_who_unlocks) {
  in_bubble([] {
    mutex m;
    m.lock();
    auto waiter = go([&] { const std::scoped_lock held(m); });
    sleep_for(1us);
    sleep_for(1ms);
    m.unlock();
    EXPECT_FALSE(m.try_lock());
    waiter.join();
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  });
}

TEST(mutex_fairness, who_was_overtaken_keeps_its_place_and_its_time) {
  in_bubble([] {
    mutex m;
    std::string order;
    m.lock();
    auto first = go([&] {
      const std::scoped_lock held(m);
      order += '1';
    });
    sleep_for(600us);
    auto second = go([&] {
      const std::scoped_lock held(m);
      order += '2';
    });
    sleep_for(1us);
    m.unlock();  // the first is on its way
    ASSERT_TRUE(m.try_lock());
    sleep_for(500us);  // and goes back to the front; by now it has waited for more than a millisecond, the second has not
    m.unlock();
    EXPECT_FALSE(m.try_lock());
    first.join();
    second.join();
    EXPECT_EQ(order, "12");
  });
}

TEST(mutex_fairness, who_gives_up_leaves_the_others_in_their_order) {
  in_bubble([] {
    mutex m;
    std::string order;
    m.lock();
    std::vector<task<void>> waiters;
    for (char name : std::string("abcde")) {
      waiters.push_back(go([&, name] {
        const bool middle = name == 'a' || name == 'c' || name == 'e';
        if (!m.try_lock_for(middle ? duration(5ms) : duration(1h))) return;
        order += name;
        m.unlock();
      }));
      sleep_for(1us);
    }
    sleep_for(10ms);
    m.unlock();
    for (auto& w : waiters) w.join();
    EXPECT_EQ(order, "bd");
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  });
}

TEST_P(mutex_test, many_come_and_give_up_and_the_count_is_right) {
  in_runtime([] {
    mutex m;
    std::size_t inside = 0, counted = 0;
    std::atomic<std::size_t> expected{0};
    std::vector<party> parties;
    for (int n = 0; n < 6; ++n) {
      parties.push_back(start([&, n] {
        for (std::size_t i = scaled(1'000); i-- > 0;) {
          if (n % 2) {
            m.lock();
          } else if (!m.try_lock_for(std::chrono::nanoseconds(i * 100))) {
            continue;
          }
          EXPECT_EQ(inside++, 0u);
          ++counted;
          if (i % 16 == 0) yield();
          --inside;
          m.unlock();
          ++expected;
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(counted, expected);
  });
}

TEST_P(mutex_test, it_may_be_destroyed_by_who_locked_it_last) {
  in_runtime([] {
    for (std::size_t round = scaled(300); round-- > 0;) {
      auto m = std::make_unique<mutex>();
      m->lock();
      auto other = start([one = m.get()] { one->unlock(); });
      m->lock();
      m->unlock();
      m.reset();
      other.join();
    }
  });
}

class mutex_death_test : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(mutex_death_test, the_message_names_who_waits) {
  EXPECT_DEATH(run([] {
                 auto m = std::make_unique<mutex>();
                 m->lock();
                 auto reader = go({.name = "reader"}, [&one = *m] { one.lock(); });
                 auto writer = go({.name = "writer"}, [&one = *m] { one.lock(); });
                 while (stats().parked < 3) yield();
                 m.reset();
               }),
               "a mutex is destroyed while others wait for it .*\"(reader|writer)\", started at .*mutex_test.*\"(reader|writer)\", started");
}

}  // namespace
}  // namespace runnel::test
