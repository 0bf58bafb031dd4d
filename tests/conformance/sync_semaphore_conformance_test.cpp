// semaphore: how many get in, in which order, and what who gives up leaves.
#include "support/fixture.hpp"

#include <runnel/sync/semaphore.hpp>

#include <atomic>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class semaphore_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(semaphore_conformance);

TEST_P(semaphore_conformance, semaphore_01_weights_never_exceed_the_whole_and_all_come_back) {
  in_runtime([] {
    constexpr std::ptrdiff_t whole = 8;
    semaphore s(whole);
    std::atomic<std::ptrdiff_t> taken{0};
    std::vector<party> parties;
    for (std::ptrdiff_t weight = 0; weight < whole; ++weight) {
      parties.push_back(start([&, weight] {
        for (std::size_t i = scaled(10'000 / whole); i-- > 0;) {
          s.acquire(weight);
          EXPECT_LE(taken.fetch_add(weight) + weight, whole);
          if (i % 8 == 0) yield();
          taken.fetch_sub(weight);
          s.release(weight);
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(s.available(), whole);
    EXPECT_TRUE(s.try_acquire(whole));
  });
}

TEST_P(semaphore_conformance, semaphore_01_neighbour_nothing_is_to_be_had_at_once_also_behind_others) {
  in_runtime([this] {
    semaphore s(0);
    auto waiter = start([&] { s.acquire(2); });
    until_waiting(1);
    s.acquire(0);
    EXPECT_TRUE(s.try_acquire(0));
    EXPECT_TRUE(s.try_acquire_for(0s, 0));
    s.release(0);
    EXPECT_EQ(s.available(), 0);
    s.release(2);
    waiter.join();
  });
}

TEST_P(semaphore_conformance, semaphore_03_try_acquire_tells_the_truth) {
  in_runtime([] {
    semaphore s(2);
    s.acquire();
    EXPECT_TRUE(s.try_acquire());
    EXPECT_FALSE(s.try_acquire());
    s.release(2);
    EXPECT_TRUE(s.try_acquire());
    s.acquire();
    EXPECT_FALSE(s.try_acquire());
  });
}

TEST_P(semaphore_conformance, semaphore_03_neighbour_try_acquire_does_not_overtake_who_waits) {
  in_runtime([this] {
    semaphore s(1, 2);
    auto waiter = start([&] { s.acquire(2); });
    until_waiting(1);
    EXPECT_EQ(s.available(), 1);
    EXPECT_FALSE(s.try_acquire());
    EXPECT_FALSE(s.try_acquire_for(1ms));
    s.release();
    waiter.join();
    EXPECT_FALSE(s.try_acquire());
  });
}

TEST_P(semaphore_conformance, semaphore_05_a_large_request_is_not_starved_by_small_ones) {
  in_runtime([] {
    constexpr std::ptrdiff_t whole = 4;
    semaphore s(whole);
    std::atomic<bool> over{false};
    std::vector<party> parties;
    for (std::ptrdiff_t n = 0; n < whole; ++n) {
      parties.push_back(start([&] {
        while (!over) {
          s.acquire();
          yield();
          s.release();
        }
      }));
    }
    for (std::size_t i = scaled(100); i-- > 0;) {
      s.acquire(whole);
      EXPECT_EQ(s.available(), 0);
      s.release(whole);
      yield();
    }
    over = true;
    for (party& p : parties) p.join();
    EXPECT_EQ(s.available(), whole);
  });
}

TEST_P(semaphore_conformance, semaphore_05_neighbour_small_ones_behind_a_large_one_wait_though_there_is_enough_for_them) {
  in_runtime([this] {
    semaphore s(2, 3);
    std::atomic<int> order{0};
    auto large = start([&] {
      s.acquire(3);
      EXPECT_EQ(order.fetch_add(1), 0);
      s.release(3);
    });
    until_waiting(1);
    auto small = start([&] {
      s.acquire(1);
      EXPECT_EQ(order.fetch_add(1), 1);
      s.release(1);
    });
    until_waiting(2);
    EXPECT_EQ(order, 0);
    s.release();
    large.join();
    small.join();
    EXPECT_EQ(s.available(), 3);
  });
}

TEST_P(semaphore_conformance, semaphore_07_canceled_before_the_release_takes_nothing) {
  in_runtime([this] {
    for (std::size_t round = scaled(300); round-- > 0;) {
      semaphore s(0);
      auto d = derive_cancel(context::current());
      auto waiter = start([&, ctx = d.ctx] { EXPECT_THROW(s.acquire(ctx), canceled); });
      until_waiting(1);
      d.cancel.cancel();
      s.release(2);
      waiter.join();
      EXPECT_EQ(s.available(), 2);
      EXPECT_THROW(s.acquire(d.ctx), canceled);
      EXPECT_TRUE(s.try_acquire(2));
    }
  });
}

TEST_P(semaphore_conformance, semaphore_07_neighbour_canceled_and_released_at_once_has_either_or) {
  in_runtime([this] {
    for (std::size_t round = scaled(300); round-- > 0;) {
      semaphore s(0);
      auto d = derive_cancel(context::current());
      bool got = false;
      auto waiter = start([&, ctx = d.ctx] {
        try {
          s.acquire(ctx, 2);
          got = true;
        } catch (const canceled&) {
        }
      });
      until_waiting(1);
      auto canceler = start([&] { d.cancel.cancel(); });
      s.release(2);
      waiter.join();
      canceler.join();
      EXPECT_EQ(s.available(), got ? 0 : 2);
    }
  });
}

TEST_P(semaphore_conformance, semaphore_09_canceled_waiters_neither_proceed_nor_leave_permits) {
  in_runtime([this] {
    semaphore s(0);
    auto first = derive_cancel(context::current()), second = derive_cancel(context::current());
    auto a = start([&, ctx = first.ctx] { EXPECT_THROW(s.acquire(ctx), canceled); });
    until_waiting(1);
    auto b = start([&, ctx = second.ctx] { EXPECT_THROW(s.acquire(ctx), canceled); });
    until_waiting(2);
    second.cancel.cancel();
    b.join();
    first.cancel.cancel();
    a.join();
    EXPECT_EQ(s.available(), 0);
    EXPECT_FALSE(s.try_acquire());
    s.release();
    EXPECT_TRUE(s.try_acquire());
  });
}

TEST_P(semaphore_conformance, semaphore_09_neighbour_a_large_request_that_gives_up_lets_those_behind_it_through) {
  in_runtime([this] {
    semaphore s(2, 4);
    auto d = derive_cancel(context::current());
    auto large = start([&, ctx = d.ctx] { EXPECT_THROW(s.acquire(ctx, 3), canceled); });
    until_waiting(1);
    auto timed = start([&] { EXPECT_FALSE(s.try_acquire_for(1ms, 4)); });
    auto small = start([&] { s.acquire(1); });
    timed.join();
    until_waiting(2);
    d.cancel.cancel();
    large.join();
    small.join();
    EXPECT_EQ(s.available(), 1);
  });
}

TEST_P(semaphore_conformance, semaphore_11_releases_meet_acquires_and_the_sum_is_right) {
  in_runtime([] {
    for (std::size_t round = scaled(500); round-- > 0;) {
      semaphore s(10);
      s.acquire(8);
      auto taker = start([&] {
        s.acquire(4);
        s.release(4);
      });
      auto giver = start([&] { s.release(8); });
      taker.join();
      giver.join();
      EXPECT_EQ(s.available(), 10);
    }
  });
}

TEST_P(semaphore_conformance, semaphore_11_neighbour_a_select_acquires_or_leaves_all) {
  in_runtime([] {
    semaphore s(1, 2);
    channel<int> stop(64);
    std::atomic<std::size_t> acquired{0};
    std::vector<party> parties;
    for (int n = 0; n < 3; ++n) {
      parties.push_back(start([&] {
        for (bool over = false; !over;) {
          select(on_acquire(s, 2,
                            [&] {
                              const permit p = permit::adopt(s, 2);
                              ++acquired;
                            }),
                 on_acquire(s, [&] { s.release(); }), on_receive(stop, [&](auto) { over = true; }));
        }
      }));
    }
    for (std::size_t i = scaled(500); i-- > 0;) {
      s.release();
      if (i % 4 == 0) yield();
      s.acquire();
    }
    s.release();
    while (acquired == 0) yield();
    stop.close();
    for (party& p : parties) p.join();
    EXPECT_EQ(s.available(), 2);
  });
}

}  // namespace
}  // namespace runnel::test
