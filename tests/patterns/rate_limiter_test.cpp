// rate_limiter, keyed_rate_limiter: how many tokens there are, who gets them, and what is given back.
#include "support/fixture.hpp"

#include <runnel/debug/dump_fibers.hpp>
#include <runnel/patterns/keyed_rate_limiter.hpp>
#include <runnel/patterns/rate_limiter.hpp>
#include <runnel/testing/bubble.hpp>

#include <algorithm>
#include <atomic>
#include <random>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

class rate_limiter_laws : public behaviour {
 protected:
  /// Runs body in virtual time.
  void in_bubble(const std::function<void()>& body) {
    in_runtime([&] { bubble(body); });
  }
};
RUNNEL_EVERY_CALLER(rate_limiter_laws);

nanoseconds since(time_point start) { return steady_clock::now() - start; }

/// The slow and obvious one: Go's formulation, in long doubles.
class model {
 public:
  model(double per_second, std::uint64_t burst) : per_ns_(per_second / 1e9L), burst_(burst), tokens_(burst) {}
  bool allow(nanoseconds at, std::uint64_t n) {
    tokens_ = std::min<long double>(burst_, tokens_ + per_ns_ * static_cast<long double>((at - last_).count()));
    last_ = at;
    const long double left = tokens_ - static_cast<long double>(n);
    close_ = left > -0.01L && left < 0.01L;
    if (left < 0) return false;
    tokens_ = left;
    return true;
  }
  /// Whether rounded nanoseconds may have decided.
  bool was_close() const { return close_; }

 private:
  const long double per_ns_;
  const std::uint64_t burst_;
  long double tokens_;
  nanoseconds last_{0};
  bool close_ = false;
};

TEST(token_bucket, it_decides_as_the_obvious_one_does) {
  std::mt19937_64 random(test::seed());
  for (int round = 0; round < 200; ++round) {
    const double per_second = std::uniform_real_distribution<>(0.01, 1e4)(random);
    const auto burst = std::uniform_int_distribution<std::uint64_t>(1, 40)(random);
    rate_limiter limiter(rate::per_second(per_second), burst);
    model obvious(per_second, burst);
    const auto longest = static_cast<std::int64_t>(3e9 / per_second);
    nanoseconds now{0};
    for (int i = 0; i < 300; ++i) {
      now += nanoseconds(std::uniform_int_distribution<std::int64_t>(0, longest)(random));
      const auto n = std::uniform_int_distribution<std::uint64_t>(1, burst + 1)(random);
      const bool expected = n <= burst && obvious.allow(now, n);
      const bool got = limiter.allow_at(time_point(now), n);
      if (n <= burst && obvious.was_close() && got != expected) break;
      ASSERT_EQ(got, expected) << per_second << "/s, " << burst << ", " << n << " at " << now.count();
    }
  }
}

TEST(token_bucket, changes_that_come_in_another_order_than_their_instants_keep_the_tokens) {
  detail::token_bucket none({0, 10}, 100);
  EXPECT_TRUE(none.take(100, 3));
  for (const detail::token_bucket::instant at : {2000, 1500, 1500, 2000, 3000}) {
    detail::raw_guard hold(none.changes.lock);
    none.change({0, 10}, at, nullptr);
  }
  EXPECT_EQ(none.tokens(900), 7) << "time stands still, also for who looked at the clock before";
  EXPECT_TRUE(none.take(900, 7));
  EXPECT_FALSE(none.take(5000, 1));

  detail::token_bucket some({1e9, 10}, 0);  // one each nanosecond
  EXPECT_TRUE(some.take(0, 10));
  {
    detail::raw_guard hold(some.changes.lock);
    some.change({0, 10}, 4, nullptr);
    some.change({1e9, 10}, 2, nullptr);
  }
  EXPECT_EQ(some.tokens(5), 5) << "no time counts twice";
}

TEST(token_bucket, instants_of_the_caller_may_be_any) {
  for (const auto at : {time_point::min(), time_point(), time_point::max()}) {
    rate_limiter limiter(rate::per_second(1), 2);
    EXPECT_TRUE(limiter.allow_at(at, 2));
    limiter.set_rate_at(at, rate::per_second(2));
    EXPECT_NEAR(limiter.tokens_at(at), 0, 1e-6);
    EXPECT_EQ(limiter.tokens_at(time_point::max()), at == time_point::max() ? limiter.tokens_at(at) : 2);
    auto booked = limiter.reserve_at(at, 1);
    EXPECT_TRUE(booked.ok());
    booked.cancel_at(at);
    EXPECT_NEAR(limiter.tokens_at(at), 0, 1e-6);
  }
}

TEST(token_bucket, bookings_stand_where_a_table_says) {
  const auto t = [](int tenths) { return time_point(tenths * 100ms); };
  const auto acts = [&](rate_limiter& l, int at, std::uint64_t n) { return l.reserve_at(t(at), n).time_to_act(); };
  {
    rate_limiter mixed(rate::per_second(10), 2);
    EXPECT_FALSE(mixed.reserve_at(t(0), 3).ok());
    EXPECT_EQ(acts(mixed, 0, 2), t(0));
    EXPECT_FALSE(mixed.allow_at(t(1), 2));
    EXPECT_EQ(acts(mixed, 1, 2), t(2));
    EXPECT_FALSE(mixed.allow_at(t(1), 1)) << "one is owed";
    EXPECT_TRUE(mixed.allow_at(t(3), 1));
  }
  {
    rate_limiter faster(rate::per_second(5), 2);
    EXPECT_EQ(acts(faster, 0, 2), t(0));
    auto booked = faster.reserve_at(t(0), 2);
    EXPECT_EQ(booked.time_to_act(), t(4));
    faster.set_rate_at(t(2), rate::per_second(10));
    EXPECT_EQ(acts(faster, 2, 1), t(4)) << "one was owed";
    booked.cancel_at(t(2));
    EXPECT_EQ(acts(faster, 2, 2), t(4));
  }
  rate_limiter wider(rate::per_second(5), 2);
  EXPECT_EQ(acts(wider, 0, 2), t(0));
  EXPECT_EQ(acts(wider, 0, 2), t(4));
  wider.set_burst_at(t(3), 4);
  EXPECT_EQ(acts(wider, 3, 4), t(12));
}

TEST(token_bucket, the_border_of_rates_and_bursts) {
  const auto ages = [](int years) { return time_point(8760h * years); };
  rate_limiter tiny(rate::per_second(1e-10), 2);
  EXPECT_EQ(tiny.get_rate(), rate::per_second(1e-10));
  EXPECT_TRUE(tiny.allow_at(ages(0), 2));
  EXPECT_FALSE(tiny.allow_at(ages(0)));
  EXPECT_FALSE(tiny.allow_at(ages(60))) << "a token takes 300 years";
  EXPECT_FALSE(tiny.reserve_at(ages(60)).ok());
  tiny.set_rate_at(ages(60), rate::every(8760h));
  EXPECT_FALSE(tiny.allow_at(ages(60)));
  EXPECT_TRUE(tiny.allow_at(ages(61)));
  tiny.set_rate_at(ages(61), rate::per_second(1e-300));
  EXPECT_FALSE(tiny.allow_at(ages(70)));
  rate_limiter odd(rate::per_second(0.7692307692307693), 1);
  EXPECT_TRUE(odd.allow_at(ages(0)));
  rate_limiter no_burst(rate::per_second(10), 0);
  EXPECT_FALSE(no_burst.allow_at(ages(1)));
  EXPECT_TRUE(no_burst.allow_at(ages(1), 0));
  EXPECT_FALSE(no_burst.reserve_at(ages(1)).ok());
  rate_limiter large(rate::per_second(1e9), std::uint64_t{1} << 60);
  EXPECT_TRUE(large.allow_at(ages(0), std::uint64_t{1} << 60));
  EXPECT_FALSE(large.allow_at(ages(0)));
  EXPECT_FALSE(large.allow_at(ages(0), ~std::uint64_t{0}));
  EXPECT_FALSE(large.reserve_at(ages(0), ~std::uint64_t{0}).ok());
  for (const double fast : {2e9, 1e10, 1e12, 1e18, 1e300}) {  // several tokens, or any number, in a nanosecond
    for (const std::uint64_t burst : {0u, 1u, 6u, 1'000u}) {
      rate_limiter l(rate::per_second(fast), burst);
      EXPECT_FALSE(l.allow_at(ages(0), burst + 1)) << fast << " and " << burst;
      EXPECT_FALSE(l.allow_at(ages(0), 10 * burst + 10));
      EXPECT_FALSE(l.reserve_at(ages(0), burst + 1).ok());
      EXPECT_TRUE(l.allow_at(ages(0), burst));
      EXPECT_TRUE(l.allow_at(ages(1), burst));
      EXPECT_THROW(l.wait(burst + 1), misuse);
    }
  }
}

TEST_P(rate_limiter_laws, it_allows_the_burst_and_then_the_rate) {
  in_bubble([] {
    rate_limiter limiter(rate::every(100ms), 3);
    EXPECT_EQ(limiter.get_rate(), rate::per_second(10));
    EXPECT_EQ(limiter.burst(), 3u);
    for (int i = 3; i > 0; --i) {
      EXPECT_DOUBLE_EQ(limiter.tokens(), i);
      EXPECT_TRUE(limiter.allow());
    }
    EXPECT_FALSE(limiter.allow());
    EXPECT_TRUE(limiter.allow(0));
    sleep_for(99ms);
    EXPECT_FALSE(limiter.allow());
    sleep_for(1ms);
    EXPECT_TRUE(limiter.allow());
    sleep_for(1h);
    EXPECT_FALSE(limiter.allow(4)) << "more than the burst";
    EXPECT_TRUE(limiter.allow(3));
    sleep_for(200ms);
    EXPECT_FALSE(limiter.allow(3)) << "weighs three";
    EXPECT_TRUE(limiter.allow(2)) << "which took nothing";
  });
}

TEST_P(rate_limiter_laws, no_limit_and_no_rate) {
  in_bubble([] {
    rate_limiter open(rate::unlimited(), 0);
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(open.allow(1'000'000));
    open.wait(7);
    EXPECT_EQ(open.reserve(9).delay(), 0ns);
    rate_limiter drained(rate::none(), 2);
    EXPECT_TRUE(drained.allow(2));
    sleep_for(24h * 365);
    EXPECT_FALSE(drained.allow());
    EXPECT_FALSE(drained.reserve().ok()) << "it would never come";
    EXPECT_FALSE(drained.wait_for(1h));
    auto waiter = go([&] { drained.wait(); });
    sleep_for(1h);
    EXPECT_FALSE(waiter.done());
    const time_point start = steady_clock::now();
    drained.set_rate(rate::per_second(1));
    waiter.join();
    EXPECT_EQ(since(start), 1s);
    drained.set_rate(rate::unlimited());
    EXPECT_TRUE(drained.allow(100));
    drained.set_rate(rate::per_second(1));
    EXPECT_EQ(drained.tokens(), 2) << "full, after no limit";
  });
}

TEST_P(rate_limiter_laws, a_change_keeps_the_tokens) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(1), 10);
    EXPECT_TRUE(limiter.allow(7));
    limiter.set_rate(rate::per_second(100));
    EXPECT_DOUBLE_EQ(limiter.tokens(), 3);
    limiter.set_burst(20);
    EXPECT_DOUBLE_EQ(limiter.tokens(), 3);
    sleep_for(20ms);
    EXPECT_DOUBLE_EQ(limiter.tokens(), 5);
    sleep_for(1s);
    EXPECT_DOUBLE_EQ(limiter.tokens(), 20);
    limiter.set_burst(4);
    EXPECT_DOUBLE_EQ(limiter.tokens(), 4) << "not more than the burst";
    limiter.set_rate(rate::none());
    sleep_for(1h);
    EXPECT_TRUE(limiter.allow(3));
    EXPECT_DOUBLE_EQ(limiter.tokens(), 1);
    limiter.set_rate(rate::per_second(1));
    EXPECT_DOUBLE_EQ(limiter.tokens(), 1);
    EXPECT_TRUE(limiter.reserve(4).ok());
    EXPECT_DOUBLE_EQ(limiter.tokens(), -3) << "owed";
    limiter.set_rate(rate::per_second(3));
    EXPECT_NEAR(limiter.tokens(), -3, 1e-8);
    EXPECT_EQ(limiter.reserve(1).delay(), nanoseconds(1'333'333'333));
  });
}

TEST_P(rate_limiter_laws, a_reservation_says_when_and_gives_back_what_nobody_has_booked_behind_it) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(10), 4);
    EXPECT_TRUE(limiter.allow(4));
    auto a = limiter.reserve(3), b = limiter.reserve(1), c = limiter.reserve(1);
    EXPECT_EQ(std::vector({a.delay(), b.delay(), c.delay()}), (std::vector<nanoseconds>{300ms, 400ms, 500ms}));
    EXPECT_EQ(a.time_to_act(), steady_clock::now() + 300ms);
    c.cancel();
    EXPECT_FALSE(c);
    EXPECT_EQ(c.time_to_act(), never);
    EXPECT_EQ(c.delay(), nanoseconds::max());
    c.cancel();
    a.cancel();
    EXPECT_EQ(limiter.reserve(3).delay(), 500ms) << "all of c, two of a";
    auto moved = std::move(b);
    EXPECT_FALSE(b.ok());
    sleep_for(400ms);
    EXPECT_EQ(moved.delay(), 0ns);
    limiter.set_rate(rate::per_second(1));
    const double before = limiter.tokens();
    moved.cancel();
    EXPECT_DOUBLE_EQ(limiter.tokens(), before + 1) << "also under other limits";
    {
      const auto dropped = limiter.reserve();
      EXPECT_TRUE(dropped);
    }
    EXPECT_DOUBLE_EQ(limiter.tokens(), before) << "its end gives nothing back";
    EXPECT_FALSE(limiter.reserve(5).ok());
    EXPECT_FALSE(limiter.reserve_within(1s).ok());
    EXPECT_DOUBLE_EQ(limiter.tokens(), before);
    EXPECT_TRUE(limiter.reserve_within(1h).ok());
  });
}

TEST_P(rate_limiter_laws, who_waits_is_served_in_turn_and_not_overtaken) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(10), 5);
    EXPECT_TRUE(limiter.allow(5));
    const time_point start = steady_clock::now();
    std::vector<std::pair<int, nanoseconds>> served;
    mutex m;
    with_task_group([&](task_group& g) {
      for (const int weight : {3, 1, 5, 1}) {
        g.go([&, weight] {
          limiter.wait(static_cast<std::uint64_t>(weight));
          const std::scoped_lock hold(m);
          served.emplace_back(weight, since(start));
        });
        sleep_for(1ns);  // in this order
      }
      for (int i = 0; i < 95; ++i) {
        EXPECT_FALSE(limiter.allow()) << "at " << since(start).count();
        sleep_for(10ms);
      }
    });
    EXPECT_EQ(served, (decltype(served){{3, 300ms}, {1, 400ms}, {5, 900ms}, {1, 1s}}));
  });
}

TEST_P(rate_limiter_laws, who_gives_up_leaves_the_tokens_to_those_behind) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(1), 10);
    EXPECT_TRUE(limiter.allow(10));
    const time_point start = steady_clock::now();
    auto first = go([&] { limiter.wait(10); });
    sleep_for(1ns);
    auto middle = go([&] { limiter.wait(9); });
    sleep_for(1ns);
    auto last = go([&] {
      limiter.wait(2);
      EXPECT_EQ(since(start), 2s) << "as if there had been nobody else";
    });
    sleep_for(500ms);
    middle.cancel();
    EXPECT_THROW(middle.get(), task_canceled);
    first.cancel();
    EXPECT_THROW(first.get(), task_canceled);
    last.get();
    EXPECT_DOUBLE_EQ(limiter.tokens(), 0);
  });
}

TEST_P(rate_limiter_laws, a_limit_that_is_too_short_is_known_at_once) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(1), 5);
    EXPECT_TRUE(limiter.wait_for(0s, 5));
    const time_point start = steady_clock::now();
    EXPECT_FALSE(limiter.wait_for(2999ms, 3));
    EXPECT_EQ(since(start), 0s);
    auto first = go([&] { limiter.wait(4); });
    sleep_for(1ns);
    auto second = go([&] { EXPECT_TRUE(limiter.wait_for(6s, 2)); });
    sleep_for(1ns);
    EXPECT_FALSE(limiter.wait_for(6s, 1)) << "seven are needed";
    EXPECT_EQ(since(start), 2ns);
    EXPECT_TRUE(limiter.wait_until(start + 7s, 1));
    EXPECT_EQ(since(start), 7s);
  });
}

TEST_P(rate_limiter_laws, tokens_behind_the_deadline_of_a_context_that_is_given_are_refused_at_once) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(10), 3);
    limiter.wait(3);
    const time_point start = steady_clock::now();
    const auto c = derive_timeout(context::current(), 299ms);
    EXPECT_THROW(limiter.wait(c.ctx, 3), deadline_exceeded);
    EXPECT_FALSE(c.ctx.is_canceled());
    {
      const context_scope scope(c.ctx);
      EXPECT_THROW(with_task_group([&](task_group& g) { g.go([&] { limiter.wait(c.ctx, 3); }); }), deadline_exceeded)
          << "a failure: nobody is canceled";
    }
    EXPECT_EQ(since(start), 0s);
    EXPECT_DOUBLE_EQ(limiter.tokens(), 0);
    struct cleans_up {
      rate_limiter& l;
      const context& ctx;
      ~cleans_up() { l.wait(ctx, 3); }
    };
    EXPECT_THROW(([&] {
                   const cleans_up at_end{limiter, c.ctx};
                   throw 1;
                 }()),
                 int);
    EXPECT_EQ(since(start), 300ms) << "shielded while it unwinds";
    EXPECT_THROW(with_timeout(50ms, [&] { limiter.wait(1); }), deadline_exceeded);
    EXPECT_EQ(since(start), 350ms) << "the ambient one ends it in its time";
    const auto d = derive_timeout(context::current(), 51ms);
    limiter.wait(d.ctx, 1);
    EXPECT_EQ(since(start), 400ms) << "just in time";
  });
}

TEST_P(rate_limiter_laws, a_change_of_the_rate_reaches_who_waits) {
  in_bubble([] {
    rate_limiter limiter(rate::every(1h), 5);
    EXPECT_TRUE(limiter.allow(5));
    const time_point start = steady_clock::now();
    auto first = go([&] {
      limiter.wait(2);
      EXPECT_EQ(since(start), 61min);
    });
    sleep_for(1ns);
    auto second = go([&] {
      limiter.wait(context::current(), 5);
      EXPECT_EQ(since(start), 63min);
    });
    sleep_for(1h - 1ns);
    limiter.set_rate(rate::every(1min));
    EXPECT_DOUBLE_EQ(limiter.tokens(), -1);
    first.get();
    limiter.set_burst(2);
    limiter.set_rate(rate::every(24h));
    limiter.set_rate(rate::every(24s));
    second.get();
    EXPECT_DOUBLE_EQ(limiter.tokens(), 0);
  });
}

TEST_P(rate_limiter_laws, a_limit_ends_a_wait_that_a_change_has_made_longer) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(1), 5);
    EXPECT_TRUE(limiter.allow(5));
    const time_point start = steady_clock::now();
    auto first = go([&] { limiter.wait(4); });
    sleep_for(1ns);
    auto behind = go([&] {
      EXPECT_FALSE(limiter.wait_for(8s, 2));
      return since(start);
    });
    sleep_for(1s - 1ns);
    limiter.set_rate(rate::every(1h));
    EXPECT_EQ(behind.get(), 8s + 1ns) << "it never became the first";
    first.cancel();
    first.join();
    limiter.set_rate(rate::per_second(1));
    auto alone = go([&] {
      EXPECT_FALSE(limiter.wait_for(1min, 5));
      return since(start);
    });
    sleep_for(1s);
    limiter.set_rate(rate::every(1h));
    EXPECT_EQ(alone.get(), 9s + 1ns) << "at once";
    EXPECT_NEAR(limiter.tokens(), 2, 0.01) << "nobody has taken any";
  });
}

TEST_P(rate_limiter_laws, both_contexts_end_a_wait) {
  in_bubble([] {
    rate_limiter limiter(rate::every(1h), 1);
    limiter.wait();
    auto c = derive_timeout(context::background(), 1min);
    EXPECT_THROW(limiter.wait(c.ctx), deadline_exceeded);
    EXPECT_THROW(limiter.wait(c.ctx), deadline_exceeded) << "at the entry";
    EXPECT_THROW(with_timeout(1min, [&] { limiter.wait(context::background()); }), deadline_exceeded);
    EXPECT_THROW(with_timeout(1min, [&] { limiter.wait(); }), deadline_exceeded);
    auto first = go([&] { limiter.wait(); });
    sleep_for(1ns);
    auto d = derive_timeout(context::background(), 1min);
    EXPECT_THROW(limiter.wait(d.ctx), deadline_exceeded) << "behind another one";
    first.get();
    EXPECT_DOUBLE_EQ(limiter.tokens(), 0) << "one was taken";
  });
}

TEST_P(rate_limiter_laws, what_makes_no_sense_is_refused) {
  in_runtime([] {
    EXPECT_THROW(rate::per_second(-1), misuse);
    EXPECT_THROW(rate::per_second(std::numeric_limits<double>::quiet_NaN()), misuse);
    EXPECT_THROW(rate::every(0s), misuse);
    EXPECT_EQ(rate::every(nanoseconds(1)), rate::per_second(1e9));
    EXPECT_THROW(rate_limiter(rate::every(24h), 1'000'000), misuse);
    EXPECT_THROW(rate_limiter(rate::per_second(1e-300), 1ull << 40), misuse);
    EXPECT_THROW(rate_limiter(rate::none(), 1ull << 40), misuse);
    rate_limiter limiter(rate::per_second(1000), 3);
    EXPECT_THROW(limiter.wait(4), misuse);
    EXPECT_THROW(limiter.wait_for(1s, ~std::uint64_t{0}), misuse);
    EXPECT_THROW(limiter.set_rate(rate::per_second(1e-9)), misuse);
    EXPECT_EQ(limiter.get_rate(), rate::per_second(1000)) << "nothing has changed";
    EXPECT_TRUE(limiter.allow(3));
  });
}

TEST_P(rate_limiter_laws, many_at_a_time_get_no_more_than_there_is) {
  in_runtime([] {
    rate_limiter limiter(rate::none(), 1000);
    std::atomic<int> got{0};
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n)
      parties.push_back(start([&] {
        for (int i = 0; i < 400; ++i) {
          if (limiter.allow()) ++got;
          if (i % 64 == 0) limiter.set_rate(rate::none());
          if (i % 50 == 0) yield();
        }
      }));
    for (party& p : parties) p.join();
    EXPECT_EQ(got, 1000);
    EXPECT_EQ(limiter.tokens(), 0);
  });
}

TEST_P(rate_limiter_laws, each_key_has_a_limit_of_its_own) {
  in_bubble([] {
    keyed_rate_limiter<std::string> limiter(rate::per_second(1), 2);
    EXPECT_TRUE(limiter.allow("a", 2));
    EXPECT_FALSE(limiter.allow("a"));
    EXPECT_TRUE(limiter.allow("b"));
    const time_point start = steady_clock::now();
    limiter.wait("a");
    EXPECT_EQ(since(start), 1s);
    limiter.wait(context::current(), "a");
    EXPECT_EQ(since(start), 2s);
    EXPECT_FALSE(limiter.wait_for(999ms, "a"));
    EXPECT_TRUE(limiter.wait_for(1s, "a"));
    EXPECT_EQ(limiter.size(), 2u);
    EXPECT_THROW((keyed_rate_limiter<int>(rate::per_second(1), 1, 0)), misuse);
    EXPECT_THROW((keyed_rate_limiter<int>(rate::per_second(1e-9), 3)), misuse);
  });
}

TEST_P(rate_limiter_laws, idle_keys_are_forgotten_and_all_others_as_far_as_there_is_room) {
  in_bubble([] {
    keyed_rate_limiter<int> limiter(rate::per_second(1), 1, 100);
    for (int k = 0; k < 10; ++k) EXPECT_TRUE(limiter.allow(k));
    for (int k = 0; k < 10; ++k) EXPECT_FALSE(limiter.allow(k)) << "none of them is idle";
    EXPECT_EQ(limiter.size(), 10u);
    sleep_for(1s);
    for (int k = 10; k < 20; ++k) EXPECT_TRUE(limiter.allow(k));
    EXPECT_LE(limiter.size(), 11u) << "each that comes sends two away";
    auto waiter = go([&] { limiter.wait(19); });
    sleep_for(1ns);
    for (int k = 100; k < 1000; ++k) EXPECT_TRUE(limiter.allow(k));
    EXPECT_EQ(limiter.size(), 100u);
    EXPECT_FALSE(limiter.allow(999));
    EXPECT_TRUE(limiter.allow(100)) << "forgotten, for want of room";
    EXPECT_FALSE(limiter.allow(19)) << "somebody waits for it";
    waiter.get();
  });
}

TEST_P(rate_limiter_laws, keys_in_use_do_not_keep_the_others) {
  in_bubble([] {
    keyed_rate_limiter<int> limiter(rate::per_second(1), 1, 20);
    std::vector<keyed_rate_limiter<int>::reservation> held;
    for (int k = 0; k < 15; ++k) {
      EXPECT_TRUE(limiter.allow(k));
      held.push_back(limiter.reserve(k));
    }
    for (int k = 100; k < 1000; ++k) EXPECT_TRUE(limiter.allow(k));
    EXPECT_LE(limiter.size(), 20u + held.size());
    for (int k = 0; k < 15; ++k) EXPECT_FALSE(limiter.allow(k)) << "none that is in use was forgotten";
  });
}

TEST_P(rate_limiter_laws, a_keys_reservation_is_given_back_to_its_bucket_alone_and_keeps_it) {
  in_bubble([] {
    keyed_rate_limiter<int> limiter(rate::per_second(1), 2, 4);
    const time_point start = steady_clock::now();
    auto now = limiter.reserve(1, 2);
    ASSERT_TRUE(now);
    EXPECT_EQ(now.time_to_act(), start);
    auto later = limiter.reserve(1, 2);
    EXPECT_EQ(later.delay(), 2s);
    EXPECT_TRUE(limiter.allow(2, 2)) << "another key's bucket is full";
    EXPECT_FALSE(limiter.reserve(1, 3)) << "more than the burst";
    EXPECT_FALSE(limiter.reserve_within(1s, 1));
    EXPECT_TRUE(limiter.reserve_within(3s, 1).ok());
    later.cancel();
    EXPECT_FALSE(later.ok());
    EXPECT_EQ(limiter.reserve(1).delay(), 3s) << "one was booked behind it: of two tokens one came back";
    auto held = limiter.reserve(1);
    for (int k = 10; k < 100; ++k) EXPECT_TRUE(limiter.allow(k, 2));
    EXPECT_LE(limiter.size(), 5u);
    EXPECT_FALSE(limiter.allow(1)) << "not forgotten: somebody has a reservation";
    held.cancel();
    auto moved = std::move(held);
    EXPECT_FALSE(moved.ok());
    now.cancel();
    auto refused = limiter.reserve(1, 3);
    EXPECT_FALSE(refused.ok());
    for (int k = 100; k < 200; ++k) EXPECT_TRUE(limiter.allow(k, 2));
    EXPECT_TRUE(limiter.allow(1, 2)) << "what is given back or refused keeps no bucket";
  });
}

TEST_P(rate_limiter_laws, a_change_of_the_limits_holds_for_known_keys_and_those_that_come) {
  in_bubble([] {
    keyed_rate_limiter<int> limiter(rate::per_second(1), 1);
    EXPECT_TRUE(limiter.allow(1));
    const time_point start = steady_clock::now();
    auto waiter = go([&] {
      limiter.wait(1);
      return since(start);
    });
    sleep_for(500ms);
    limiter.set_rate(rate::every(10s));
    EXPECT_EQ(waiter.get(), 5500ms) << "half a token came at the old rate, half at the new one";
    EXPECT_TRUE(limiter.allow(2));
    EXPECT_EQ(limiter.reserve(2).delay(), 10s) << "one that came later";
    limiter.set_burst(3);
    EXPECT_FALSE(limiter.allow(1)) << "a known key has as many tokens as before";
    EXPECT_TRUE(limiter.allow(3, 3)) << "a new one begins with a full bucket";
    EXPECT_EQ(limiter.burst(), 3u);
    EXPECT_EQ(limiter.get_rate(), rate::every(10s));
    EXPECT_THROW(limiter.set_rate(rate::per_second(1e-9)), misuse) << "three would take 95 years";
    EXPECT_EQ(limiter.get_rate(), rate::every(10s)) << "nothing has changed";
    limiter.set_rate(rate::unlimited());
    EXPECT_TRUE(limiter.allow(1, 100));
  });
}

TEST_P(rate_limiter_laws, no_key_misses_a_change_of_the_limits_that_it_meets) {
  in_runtime([] {
    for (std::size_t i = scaled(100); i-- > 0;) {
      keyed_rate_limiter<int> limiter(rate::none(), 1, 1'000'000);
      std::vector<party> parties;
      for (int n = 0; n < 2; ++n)
        parties.push_back(start([&, n] {
          for (int k = n; k < 200; k += 2) {
            limiter.allow(k);
            yield();
          }
        }));
      parties.push_back(start([&] { limiter.set_burst(5); }));
      parties.push_back(start([&] { limiter.set_rate(rate::unlimited()); }));
      for (party& p : parties) p.join();
      for (int k = 0; k < 200; ++k) EXPECT_TRUE(limiter.allow(k, 1000)) << k;
      EXPECT_EQ(limiter.burst(), 5u);
      limiter.set_rate(rate::none());
      for (int k = 0; k < 200; ++k) EXPECT_FALSE(limiter.reserve(k, 6)) << "the burst of every key is 5";
    }
  });
}

TEST_P(rate_limiter_laws, reports_name_what_those_who_wait_wait_for) {
  in_runtime([this] {
    rate_limiter limiter(rate::none(), 1);
    EXPECT_TRUE(limiter.allow());
    std::vector<party> parties;
    for (int n = 0; n < 3; ++n) parties.push_back(start([&] { limiter.wait(); }));
    until_waiting(3);
    const std::string report = fiber_report();
    std::size_t said = 0;
    for (std::size_t at = 0; (at = report.find("tokens of a rate limiter", at)) != std::string::npos; ++at) ++said;
    if (!from_threads()) {
      EXPECT_EQ(said, 3u) << report;
    }
    limiter.set_rate(rate::unlimited());
    for (party& p : parties) p.join();
  });
}

}  // namespace
}  // namespace runnel::test
