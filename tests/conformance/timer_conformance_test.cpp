// Timers and tickers: nothing comes early, nothing stale is received, nothing is left behind.
#include "support/fixture.hpp"

#include <runnel/testing/bubble.hpp>

#include <algorithm>
#include <atomic>
#include <random>
#include <stdexcept>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class timer_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(timer_conformance);

/// Blocks until no timer is pending: what had to fire has fired. Sleeping would need one itself.
void until_all_have_fired() {
  while (stats().armed_timers != 0) yield();
}

TEST_P(timer_conformance, timer_02_what_was_stopped_never_fires) {
  in_runtime([] {
    bubble([] {  // on a slow machine what is to be stopped may come first
      std::atomic<bool> called{false};
      timer stopped(5ms);
      auto limited = derive_timeout(context::current(), 15ms);
      auto callback = after_func(limited.ctx, [&] { called = true; });
      EXPECT_TRUE(stopped.stop());
      EXPECT_FALSE(stopped.stop());
      EXPECT_TRUE(callback.stop());
      EXPECT_FALSE(callback.stop());
      EXPECT_EQ(stopped.receive_for(30ms).status, channel_status::timed_out);
      select(on_done(limited.ctx));
      EXPECT_EQ(stopped.try_receive().status, channel_status::would_block);
      EXPECT_FALSE(called);
    });
  });
}

TEST_P(timer_conformance, timer_02_neighbour_stopping_wakes_nobody_and_a_reset_goes_on) {
  in_runtime([this] {
    timer t(1h);
    std::atomic<bool> received{false};
    auto waiting = start([&] {
      EXPECT_TRUE(t.receive().has_value());
      received = true;
    });
    until_waiting(1);
    EXPECT_TRUE(t.stop());
    sleep_for(1ms);
    EXPECT_FALSE(received);
    EXPECT_FALSE(t.reset(1ms)) << "it was not pending";
    waiting.join();
    {
      const timer dropped(1h);
      EXPECT_EQ(stats().armed_timers, 1u);
    }
    EXPECT_EQ(stats().armed_timers, 0u);
  });
}

TEST_P(timer_conformance, timer_04_a_reset_counts_from_the_reset) {
  in_runtime([] {
    constexpr auto d = 10ms;
    timer t(2 * d);
    sleep_for(d);
    const time_point reset_at = steady_clock::now();
    EXPECT_TRUE(t.reset(3 * d));
    const time_point fired = *t.receive();
    EXPECT_GE(fired, reset_at + 3 * d);
    EXPECT_GE(steady_clock::now(), fired);
    EXPECT_FALSE(t.reset(d)) << "it had fired and was received";
    EXPECT_TRUE(t.stop());
  });
}

TEST_P(timer_conformance, timer_04_neighbour_a_reset_may_make_it_earlier) {
  in_runtime([] {
    timer t(1h);
    EXPECT_TRUE(t.reset(1ms));
    EXPECT_TRUE(t.receive().has_value());
    EXPECT_FALSE(t.stop());
    EXPECT_FALSE(t.reset(1h));
    EXPECT_TRUE(t.reset(-1s));
    EXPECT_TRUE(t.receive().has_value());
    EXPECT_EQ(t.try_receive().status, channel_status::would_block) << "once a reset";
  });
}

TEST_P(timer_conformance, timer_06_timers_of_no_length_all_deliver) {
  in_runtime([] {
    const std::size_t n = scaled(100'000);
    std::size_t delivered = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (after(0s).receive()) ++delivered;
    }
    EXPECT_EQ(delivered, n);
  });
}

TEST_P(timer_conformance, timer_06_neighbour_sleeps_of_no_length_end_and_let_others_run) {
  in_runtime([] {
    std::atomic<bool> other_ran{false};
    auto other = start([&] { other_ran = true; });
    while (!other_ran) sleep_for(0s);
    other.join();
    for (std::size_t i = scaled(1'000); i-- > 0;) {
      sleep_for(-1h);
      sleep_until(steady_clock::now());
      sleep_until(time_point::min());
      EXPECT_EQ(select(on_timeout(0s)), 0u);
    }
    timer long_ago(std::chrono::hours::min());
    EXPECT_TRUE(long_ago.receive().has_value());
    timer never_fires(std::chrono::hours::max());
    EXPECT_TRUE(never_fires.stop());
  });
}

TEST_P(timer_conformance, timer_08_timers_that_are_moved_about_all_end) {
  in_runtime([] {
    std::mt19937_64 random(seed());
    const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
    struct entry {
      timer t;
      time_point due;
      bool pending = true;
    };
    std::vector<entry> timers;
    for (int i = 0; i < 100; ++i) {
      const auto d = std::chrono::microseconds(below(20'000));
      const time_point due = steady_clock::now() + d;
      timers.push_back({timer(d), due});
    }
    for (std::size_t i = scaled(2'000); i-- > 0;) {
      entry& e = timers[static_cast<std::size_t>(below(100))];
      const auto d = std::chrono::microseconds(below(2) ? below(500) : below(20'000));
      switch (below(4)) {
        case 0:
        case 1:  // earlier or later
          e.due = steady_clock::now() + d;
          EXPECT_EQ(e.t.reset(d), e.pending);
          e.pending = true;
          break;
        case 2:
          EXPECT_EQ(e.t.stop(), e.pending);
          e.pending = false;
          break;
        default:
          if (const auto tick = e.t.try_receive()) {
            EXPECT_TRUE(e.pending);
            EXPECT_GE(*tick.value, e.due);
            e.pending = false;
          }
      }
    }
    for (entry& e : timers) {
      if (!e.pending) {
        EXPECT_EQ(e.t.try_receive().status, channel_status::would_block);
        continue;
      }
      EXPECT_GE(*e.t.receive(), e.due) << "too early";
    }
    EXPECT_EQ(stats().armed_timers, 0u);
  });
}

TEST_P(timer_conformance, timer_08_neighbour_a_ticker_may_be_reset_by_others_while_it_is_received) {
  in_runtime([] {
    ticker t(1h);
    std::atomic<bool> over{false};
    std::vector<party> resetters;
    for (int n = 0; n < 2; ++n) {
      resetters.push_back(start([&, n] {
        for (int i = 0; !over; ++i) {
          t.reset(std::chrono::microseconds(1 + (i + n) % 20));
          sleep_for(50us);  // else it would be put off for ever
        }
      }));
    }
    for (std::size_t i = scaled(500); i-- > 0;) EXPECT_TRUE(t.receive().has_value());
    over = true;
    for (party& p : resetters) p.join();
    t.stop();
    EXPECT_EQ(t.try_receive().status, channel_status::would_block);
  });
}

TEST_P(timer_conformance, timer_10_a_tick_is_there_only_between_the_firing_and_the_next_change) {
  in_runtime([] {
    timer pending(1h);
    EXPECT_EQ(pending.size(), 0u);
    EXPECT_EQ(pending.try_receive().status, channel_status::would_block);
    EXPECT_TRUE(pending.stop());

    timer expired(1us);
    until_all_have_fired();
    EXPECT_EQ(expired.try_receive().status, channel_status::ok);

    expired.reset(1us);
    until_all_have_fired();
    expired.stop();
    EXPECT_EQ(expired.size(), 0u);
    EXPECT_EQ(expired.try_receive().status, channel_status::would_block) << "stop() takes the tick back";

    expired.reset(1us);
    until_all_have_fired();
    expired.reset(1h);
    EXPECT_EQ(expired.try_receive().status, channel_status::would_block) << "so does reset()";
    expired.stop();
  });
}

TEST_P(timer_conformance, timer_10_neighbour_nor_has_a_ticker_a_stale_tick) {
  in_runtime([] {
    ticker t(1us);
    while (t.size() == 0) yield();
    t.stop();
    EXPECT_EQ(t.size(), 0u);
    EXPECT_EQ(t.try_receive().status, channel_status::would_block);
    EXPECT_EQ(stats().armed_timers, 0u);
    t.reset(1us);
    EXPECT_TRUE(t.receive().has_value());
    while (t.size() == 0) yield();
    const time_point reset_at = steady_clock::now();
    t.reset(2ms);
    EXPECT_GE(*t.receive(), reset_at + 2ms);
    ticker moved = std::move(t);
    EXPECT_TRUE(moved.receive().has_value());
    EXPECT_THROW(t.stop(), misuse);
  });
}

TEST_P(timer_conformance, timer_12_a_period_has_to_be_positive) {
  in_runtime([] {
    EXPECT_THROW(ticker(0s), std::invalid_argument);
    EXPECT_THROW(ticker(-1ns), std::invalid_argument);
    ticker t(1ms);
    EXPECT_THROW(t.reset(0s), std::invalid_argument);
    EXPECT_THROW(t.reset(-1h), std::invalid_argument);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(t.receive().has_value()) << "it ticks on";
    ticker stopped(1ms);
    stopped.stop();
    EXPECT_THROW(stopped.reset(0s), std::invalid_argument);
    EXPECT_EQ(stopped.receive_for(3ms).status, channel_status::timed_out) << "and this one stays stopped";
  });
}

TEST_P(timer_conformance, timer_12_neighbour_ticks_that_nobody_takes_are_dropped) {
  in_runtime([] {
    bubble([] {  // a tick bears the time at which somebody began to send it
      constexpr auto period = 2ms;
      const time_point made = steady_clock::now();
      ticker t(period);
      sleep_for(10 * period);
      EXPECT_LE(t.size(), 1u);
      const time_point first = *t.receive();
      EXPECT_GE(first, made + period);
      const time_point asked = steady_clock::now();
      const time_point second = *t.receive();
      EXPECT_GT(second, first);
      // At most one that was due before has waited; all others are ahead.
      const time_point third = *t.receive();
      EXPECT_GE(third, asked);
    });
  });
}

TEST_P(timer_conformance, timer_12_neighbour_periods_and_limits_as_long_as_time_itself) {
  in_runtime([] {
    bubble([] {
      ticker rare(150 * 8760h);
      EXPECT_TRUE(rare.receive());
      EXPECT_EQ(rare.receive_for(1h).status, channel_status::timed_out) << "the next one would come behind the end of time";
      rare.reset(1s);
      EXPECT_TRUE(rare.receive());
      rare.stop();
      EXPECT_EQ(rare.receive_for(1h).status, channel_status::timed_out);
      rare.reset(1s);
      EXPECT_TRUE(rare.receive()) << "a stopped one ticks again";
    });
    bubble([] {
      static constexpr auto longest = std::chrono::hours::max(), shortest = std::chrono::hours::min();
      ticker silent(longest);
      timer pending(longest), past(shortest);
      EXPECT_TRUE(past.receive());
      EXPECT_EQ(silent.receive_for(1h).status, channel_status::timed_out);
      EXPECT_EQ(pending.receive_for(1h).status, channel_status::timed_out);
      EXPECT_TRUE(pending.stop());
      EXPECT_FALSE(pending.reset(longest));
      EXPECT_TRUE(pending.reset(longest)) << "it is pending as one that is made so";
      EXPECT_TRUE(pending.reset(shortest));
      EXPECT_TRUE(pending.receive());
      EXPECT_EQ(select(on_receive(after(longest)), on_timeout(longest), on_timeout(1s)), 2u);
      EXPECT_EQ(select(on_receive(after(longest)), on_timeout(shortest)), 1u);
      sleep_for(shortest);
      sleep_until(time_point::min());
      with_timeout(longest, [] { sleep_for(1s); });
      EXPECT_THROW(with_timeout(1s, [] { sleep_for(longest); }), deadline_exceeded);
      EXPECT_THROW(with_timeout(shortest, [] { sleep_for(1s); }), deadline_exceeded);
    });
  });
}

TEST_P(timer_conformance, timer_14_all_may_select_over_one_ticker_and_limits_of_their_own) {
  in_runtime([] {
    const ticker shared(1us);
    std::atomic<std::size_t> ticks{0}, limits{0};
    const std::size_t rounds = scaled(5'000);
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n) {
      parties.push_back(start([&] {
        for (std::size_t i = 0; i < rounds; ++i) {
          select(on_receive(shared, [&](std::optional<time_point> at) {
                   EXPECT_TRUE(at.has_value());
                   ticks.fetch_add(1);
                 }),
                 on_timeout(1ms, [&] { limits.fetch_add(1); }));
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(ticks.load() + limits.load(), 4 * rounds);
    EXPECT_GT(ticks.load(), 0u);
    EXPECT_LE(stats().armed_timers, 1u);
  });
}

TEST_P(timer_conformance, timer_14_neighbour_each_of_several_tickers_is_served) {
  in_runtime([] {
    std::vector<ticker> tickers;
    for (int i = 1; i <= 4; ++i) tickers.emplace_back(std::chrono::microseconds(50 * i));
    std::vector<int> served(tickers.size());
    selector s;
    for (std::size_t i = 0; i < tickers.size(); ++i) {
      s.add(on_receive(tickers[i], [&, i](std::optional<time_point>) { ++served[i]; }));
    }
    while (*std::min_element(served.begin(), served.end()) < 20) EXPECT_LT(s.run(), tickers.size());
    EXPECT_LE(stats().armed_timers, tickers.size());
  });
}

TEST_P(timer_conformance, timer_16_limits_that_are_not_needed_leave_nothing) {
  in_runtime([] {
    const channel<std::size_t> values;
    const std::size_t n = scaled(50'000);
    auto sender = start([=] {
      for (std::size_t i = 0; i < n; ++i) values.send(i);
    });
    const std::int64_t before = live_allocations();
    const auto a_few = static_cast<std::int64_t>(n / 10 + 5);  // of the runtime itself
    std::size_t most = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const auto r = values.receive_for(1h);
      ASSERT_TRUE(r);
      EXPECT_EQ(*r.value, i);
      most = std::max(most, stats().armed_timers);
    }
    EXPECT_EQ(most, 0u) << "the limit of a receive that has ended is gone at once";
    EXPECT_LE(live_allocations(), before + a_few);
    sender.join();
  });
}

TEST_P(timer_conformance, timer_16_neighbour_limits_of_scopes_and_selects_leave_nothing_either) {
  in_runtime([] {
    const std::size_t n = scaled(5'000);
    const channel<std::size_t> values;
    auto sender = start([=] {
      for (std::size_t i = 0; i < 2 * n; ++i) values.send(i);
    });
    const std::int64_t before = live_allocations();
    const auto a_few = static_cast<std::int64_t>(n / 10 + 5);  // of the runtime itself
    std::vector<derived_context> kept;
    for (std::size_t i = 0; i < n; ++i) {
      with_timeout(1h, [&] { EXPECT_EQ(values.receive(), 2 * i); });
      std::optional<std::size_t> v;
      EXPECT_EQ(select(on_timeout(1h), on_receive(values, v)), 1u);
      EXPECT_EQ(v, 2 * i + 1);
      EXPECT_EQ(stats().armed_timers, 0u);
    }
    EXPECT_LE(live_allocations(), before + a_few);
    sender.join();
    for (std::size_t i = 0; i < n; ++i) kept.push_back(derive_timeout(context::current(), 1h));
    EXPECT_EQ(stats().armed_timers, n);
    for (derived_context& d : kept) d.cancel();
    EXPECT_EQ(stats().armed_timers, 0u) << "a canceled context needs no limit";
  });
}

}  // namespace
}  // namespace runnel::test
