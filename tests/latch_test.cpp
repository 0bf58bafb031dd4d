// latch: it opens once and for all.
#include "support/fixture.hpp"

#include <runnel/sync/latch.hpp>
#include <runnel/testing/bubble.hpp>

#include <atomic>
#include <memory>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class latch_laws : public behaviour {};
RUNNEL_EVERY_CALLER(latch_laws);

TEST_P(latch_laws, wait_returns_behind_the_last_count_and_from_then_on_at_once) {
  in_runtime([] {
    latch l(3);
    int written[3] = {};
    std::vector<party> parties;
    for (int n = 0; n < 3; ++n) {
      parties.push_back(start([&, n] {
        written[n] = 1;
        l.count_down();
      }));
    }
    l.wait();
    EXPECT_EQ(written[0] + written[1] + written[2], 3);
    l.wait();
    EXPECT_TRUE(l.try_wait());
    EXPECT_TRUE(l.wait_for(0s));
    for (party& p : parties) p.join();
  });
}

TEST_P(latch_laws, all_who_wait_are_released_together) {
  in_runtime([this] {
    latch l(2);
    std::atomic<int> released{0};
    std::vector<party> parties;
    for (int n = 0; n < 10; ++n) {
      parties.push_back(start([&] {
        l.wait();
        released.fetch_add(1);
      }));
    }
    until_waiting(10);
    l.count_down();
    EXPECT_EQ(released, 0);
    EXPECT_FALSE(l.try_wait());
    EXPECT_FALSE(l.wait_for(1us));
    l.count_down();
    for (party& p : parties) p.join();
    EXPECT_EQ(released, 10);
  });
}

TEST_P(latch_laws, who_arrives_and_waits_counts) {
  in_runtime([] {
    latch l(4);
    std::vector<party> parties;
    for (int n = 0; n < 3; ++n) parties.push_back(start([&] { l.arrive_and_wait(); }));
    l.arrive_and_wait();
    for (party& p : parties) p.join();
  });
}

TEST_P(latch_laws, one_of_zero_is_open_and_below_zero_is_misuse) {
  in_runtime([] {
    latch open(0);
    open.wait();
    EXPECT_THROW(open.count_down(), misuse);
    EXPECT_THROW(latch(-1), misuse);
    latch most(latch::max());
    most.count_down(latch::max() - 1);
    EXPECT_FALSE(most.try_wait());
    EXPECT_THROW(most.arrive_and_wait(2), misuse);
    most.arrive_and_wait();
    latch l(2);
    EXPECT_THROW(l.count_down(3), misuse);
    EXPECT_THROW(l.count_down(-1), misuse);
    EXPECT_FALSE(l.try_wait());
    l.count_down(2);
    l.wait();
  });
}

TEST_P(latch_laws, it_may_be_destroyed_as_soon_as_wait_has_returned) {
  in_runtime([] {
    channel<latch*> given(16);
    auto other = start([given] {
      for (latch* l : given) l->count_down();
    });
    for (std::size_t i = scaled(4'000); i-- > 0;) {
      auto l = std::make_unique<latch>(1);
      given.send(l.get());
      l->wait();
      l.reset();
    }
    given.close();
    other.join();
  });
}

TEST_P(latch_laws, it_may_be_destroyed_by_whoever_arrives_and_waits) {
  in_runtime([] {
    channel<latch*> given(1);
    auto other = start([given] {
      for (latch* l : given) l->arrive_and_wait();  // it may have arrived and not yet waited when the other one goes on
    });
    for (std::size_t i = scaled(4'000); i-- > 0;) {
      auto l = std::make_unique<latch>(2);
      given.send(l.get());
      l->arrive_and_wait();
      l.reset();
    }
    given.close();
    other.join();
  });
}

TEST_P(latch_laws, a_time_limit_in_a_bubble_passes_without_time) {
  if (from_threads()) GTEST_SKIP() << "a bubble belongs to fibers";
  in_runtime([] {
    bubble([] {
      latch l(1);
      const time_point begun = steady_clock::now();
      EXPECT_FALSE(l.wait_for(1h));
      EXPECT_EQ(steady_clock::now() - begun, 1h);
      auto t = go([&] {
        sleep_for(1h);
        l.count_down();
      });
      EXPECT_TRUE(l.wait_for(2h));
      EXPECT_EQ(steady_clock::now() - begun, 2h);
      t.get();
    });
  });
}

}  // namespace
}  // namespace runnel::test
