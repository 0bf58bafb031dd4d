// semaphore: misuse, permits, its select case, and the end of its life.
#include "support/fixture.hpp"

#include <runnel/sync/semaphore.hpp>
#include <runnel/testing/bubble.hpp>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class semaphore_test : public behaviour {};
RUNNEL_EVERY_CALLER(semaphore_test);

TEST_P(semaphore_test, numbers_that_make_no_sense_are_refused_and_change_nothing) {
  in_runtime([] {
    EXPECT_THROW(semaphore(-1), misuse);
    semaphore s(3, semaphore::max());
    EXPECT_THROW(s.acquire(-1), misuse);
    EXPECT_THROW(static_cast<void>(s.try_acquire(-1)), misuse);
    EXPECT_THROW(s.release(-1), misuse);
    EXPECT_THROW(s.release(semaphore::max()), misuse);
    EXPECT_THROW(static_cast<void>(on_acquire(s, -1)), misuse);
    EXPECT_EQ(s.available(), 3);
    s.release(semaphore::max() - 3);
    EXPECT_EQ(s.available(), semaphore::max());
    EXPECT_TRUE(s.try_acquire(semaphore::max()));
    EXPECT_EQ(s.available(), 0);
  });
}

TEST_P(semaphore_test, there_are_never_more_than_the_maximum) {
  in_runtime([this] {
    EXPECT_THROW(semaphore(3, 2), misuse);
    EXPECT_THROW(semaphore(0, -1), misuse);
    EXPECT_THROW(semaphore(0, semaphore::max() + 1), misuse);
    semaphore s(2);
    EXPECT_THROW(s.release(), misuse) << "nobody has acquired any";
    EXPECT_THROW(s.acquire(3), misuse) << "at once, and nobody stands behind it";
    EXPECT_FALSE(s.try_acquire(3));
    EXPECT_THROW(static_cast<void>(on_acquire(s, 3)), misuse);
    s.acquire(2);
    auto waiter = start([&] { s.acquire(2); });
    until_waiting(1);
    EXPECT_THROW(s.release(3), misuse);
    s.release();
    EXPECT_THROW(s.release(2), misuse) << "while somebody waits for two";
    EXPECT_EQ(s.available(), 1);
    s.release();
    waiter.join();
    s.release(2);
    EXPECT_EQ(s.available(), 2);
    semaphore more(2, 3);
    more.release();
    EXPECT_THROW(more.release(), misuse);
    EXPECT_TRUE(more.try_acquire(3));
    semaphore none(0, 0);
    none.acquire(0);
    EXPECT_THROW(none.release(), misuse);
  });
}

TEST_P(semaphore_test, a_release_that_is_refused_while_somebody_waits_changes_nothing) {
  in_runtime([this] {
    semaphore s(1, semaphore::max());
    auto waiter = start([&] { s.acquire(2); });
    until_waiting(1);
    EXPECT_THROW(s.release(semaphore::max()), misuse);
    EXPECT_EQ(s.available(), 1);
    s.release();
    waiter.join();
  });
}

TEST_P(semaphore_test, a_permit_gives_back_what_it_holds_once) {
  in_runtime([] {
    semaphore s(4);
    {
      permit a(s, 3);
      EXPECT_EQ(s.available(), 1);
      permit b = std::move(a);
      EXPECT_FALSE(a);
      EXPECT_TRUE(b);
      b = permit(s);
      EXPECT_EQ(s.available(), 3);
      permit& same = b;
      b = std::move(same);
      EXPECT_TRUE(b);
      EXPECT_EQ(s.available(), 3);
      b.release();
      EXPECT_EQ(s.available(), 4);
    }
    EXPECT_EQ(s.available(), 4);
    ASSERT_TRUE(s.try_acquire(2));
    permit::adopt(s, 2).release();
    EXPECT_EQ(s.available(), 4);
    EXPECT_FALSE(permit());
  });
}

TEST_P(semaphore_test, a_select_acquires_when_it_can_and_else_waits_in_turn) {
  in_runtime([this] {
    semaphore s(1, 2);
    EXPECT_EQ(select(on_acquire(s), otherwise()), 0u);
    EXPECT_EQ(select(on_acquire(s), otherwise()), 1u);
    EXPECT_EQ(select(on_acquire(s, 0), otherwise()), 0u) << "nothing is to be had at once";
    auto large = start([&] {
      int got = 0;
      select(on_acquire(s, 2, [&] { got = 2; }), on_timeout(1h));
      EXPECT_EQ(got, 2);
    });
    until_waiting(1);
    EXPECT_EQ(select(on_acquire(s), on_timeout(1ms)), 1u);
    s.release();
    EXPECT_EQ(select(on_acquire(s), otherwise()), 1u) << "behind the large one";
    s.release();
    large.join();
    EXPECT_EQ(s.available(), 0);
  });
}

TEST_P(semaphore_test, a_select_that_goes_another_way_lets_those_behind_it_through) {
  in_runtime([this] {
    semaphore s(1, 2);
    channel<int> other;
    auto large = start([&] { EXPECT_EQ(select(on_acquire(s, 2), on_receive(other)), 1u); });
    until_waiting(1);
    auto small = start([&] { s.acquire(); });
    until_waiting(2);
    other.send(1);
    large.join();
    small.join();
    EXPECT_EQ(s.available(), 0);
  });
}

TEST_P(semaphore_test, a_select_that_looks_and_goes_leaves_the_fast_way_open) {
  in_runtime([] {
    semaphore s(1, 2);
    EXPECT_EQ(select(on_acquire(s, 2), otherwise()), 1u);
    EXPECT_TRUE(s.try_acquire());
    EXPECT_EQ(select(on_acquire(s), otherwise()), 1u);
    s.release();
    EXPECT_TRUE(s.try_acquire_for(0s));
    EXPECT_EQ(select(on_acquire(s), otherwise()), 1u);
    EXPECT_FALSE(s.try_acquire());
    s.release();
    EXPECT_EQ(s.available(), 1);
  });
}

TEST_P(semaphore_test, a_selector_acquires_again_and_again) {
  in_runtime([] {
    semaphore s(3);
    int taken = 0;
    selector cases;
    cases.add(on_acquire(s, [&] { ++taken; })).add(otherwise());
    while (cases.run() == 0) {
    }
    EXPECT_EQ(taken, 3);
  });
}

TEST(semaphore_order, first_come_first_served_whatever_they_ask_for) {
  run({.workers = 1}, [] {
    bubble([] {
      semaphore s(0);
      std::string order;
      std::vector<task<void>> waiters;
      for (const char name : std::string("3121")) {
        waiters.push_back(go([&, name] {
          s.acquire(name - '0');
          order += name;
        }));
        sleep_for(1us);
      }
      for (int i = 0; i < 7; ++i) {
        s.release();
        sleep_for(1us);
      }
      for (auto& w : waiters) w.join();
      EXPECT_EQ(order, "3121");
    });
  });
}

TEST_P(semaphore_test, it_may_be_destroyed_by_who_acquires_what_was_released_last) {
  in_runtime([] {
    for (std::size_t round = scaled(300); round-- > 0;) {
      auto s = std::make_unique<semaphore>(0);
      auto other = start([one = s.get()] { one->release(); });
      s->acquire();
      s.reset();
      other.join();
    }
  });
}

class semaphore_death_test : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(semaphore_death_test, destroyed_under_somebody_who_waits_it_names_who) {
  EXPECT_DEATH(run([] {
                 auto s = std::make_unique<semaphore>(0);
                 auto sleeper = go({.name = "sleeper"}, [&one = *s] { one.acquire(); });
                 while (stats().parked < 2) yield();
                 s.reset();
               }),
               "a semaphore is destroyed while others wait for it .*\"sleeper\", started at");
}

}  // namespace
}  // namespace runnel::test
