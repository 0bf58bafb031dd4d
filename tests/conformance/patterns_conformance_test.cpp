// rate_limiter and single_flight: what Go's x/time/rate and x/sync/singleflight promise.
#include "support/fixture.hpp"

#include <runnel/patterns/rate_limiter.hpp>
#include <runnel/patterns/single_flight.hpp>
#include <runnel/testing/bubble.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

// ---- rate

class rate_conformance : public behaviour {
 protected:
  void in_bubble(const std::function<void()>& body) {
    in_runtime([&] { bubble(body); });
  }
};
RUNNEL_EVERY_CALLER(rate_conformance);

/// The k-th tenth of a second.
time_point t(int k) { return time_point(std::chrono::seconds(1000) + k * 100ms); }

void expect_act(rate_limiter& limiter, int at, std::uint64_t n, int act) {
  EXPECT_EQ(limiter.reserve_at(t(at), n).time_to_act(), t(act)) << n << " at t" << at;
}

TEST_P(rate_conformance, rate_01_burst_of_one) {
  in_runtime([] {
    rate_limiter limiter(rate::per_second(10), 1);
    for (int k = 0; k < 10; ++k) {
      for (const double tokens : {1.0, 0.0, 0.0}) {
        EXPECT_DOUBLE_EQ(limiter.tokens_at(t(k)), tokens);
        EXPECT_EQ(limiter.allow_at(t(k)), tokens == 1.0);
        EXPECT_FALSE(limiter.allow_at(t(k), 2));
      }
    }
  });
}

TEST_P(rate_conformance, rate_01_neighbour_burst_of_three_in_virtual_time) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(10), 3);
    for (const auto& [tokens, n, allowed] : std::vector<std::tuple<double, std::uint64_t, bool>>{
             {3, 2, true}, {1, 2, false}, {1, 1, true}, {0, 1, false}, {0, 4, false}, {0, 0, true}}) {
      EXPECT_DOUBLE_EQ(limiter.tokens(), tokens);
      EXPECT_EQ(limiter.allow(n), allowed);
    }
    sleep_for(250ms);
    EXPECT_DOUBLE_EQ(limiter.tokens(), 2.5);
    EXPECT_TRUE(limiter.allow(2));
    EXPECT_FALSE(limiter.allow());
    sleep_for(50ms);
    EXPECT_TRUE(limiter.allow());
  });
}

TEST_P(rate_conformance, rate_03_time_that_goes_back_brings_no_tokens) {
  in_runtime([] {
    rate_limiter limiter(rate::per_second(10), 3);
    EXPECT_TRUE(limiter.allow_at(t(1)));
    EXPECT_TRUE(limiter.allow_at(t(0)));
    EXPECT_TRUE(limiter.allow_at(t(0))) << "two are left, at whatever time";
    EXPECT_FALSE(limiter.allow_at(t(0)));
    EXPECT_FALSE(limiter.allow_at(t(1))) << "the time from t0 to t1 counts once";
    EXPECT_TRUE(limiter.allow_at(t(2)));
    EXPECT_FALSE(limiter.allow_at(t(2)));
  });
}

TEST_P(rate_conformance, rate_03_neighbour_a_reservation_in_the_past_counts_from_the_present) {
  in_runtime([] {
    rate_limiter limiter(rate::per_second(10), 2);
    expect_act(limiter, 5, 2, 5);
    expect_act(limiter, 0, 1, 6);
    EXPECT_EQ(limiter.reserve_within_at(t(0), 199ms).ok(), false);
    EXPECT_EQ(limiter.reserve_within_at(t(0), 200ms).time_to_act(), t(7));
  });
}

/// What is granted in `length`, asked for every `pause`, at its end too.
std::int64_t granted(rate_limiter& limiter, duration length, duration pause) {
  std::int64_t grants = 0;
  for (const time_point end = length.from_now(); steady_clock::now() <= end; sleep_for(pause)) grants += limiter.allow();
  return grants;
}

TEST_P(rate_conformance, rate_05_over_a_long_time_it_is_the_rate) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(100), 100);
    const auto grants = static_cast<double>(granted(limiter, 5s, 2ms));
    const double ideal = 100 + 100 * 5;
    EXPECT_GE(grants, 0.999 * ideal);
    EXPECT_LE(grants, ideal + 1);
  });
}

TEST_P(rate_conformance, rate_05_neighbour_odd_rates_and_a_rate_that_changes) {
  in_bubble([] {
    for (const double per_second : {0.3, 3.0, 7.77, 333.0}) {
      rate_limiter limiter(rate::per_second(per_second), 2);
      const double seconds = 300 / per_second;
      const auto grants = static_cast<double>(
          granted(limiter, std::chrono::duration<double>(seconds), std::chrono::duration<double>(0.1 / per_second)));
      EXPECT_NEAR(grants, 302, 1) << per_second;
    }
    rate_limiter limiter(rate::per_second(10), 1);
    auto grants = granted(limiter, 10s, 10ms);
    limiter.set_rate(rate::per_second(50));
    grants += granted(limiter, 10s, 10ms);
    EXPECT_NEAR(static_cast<double>(grants), 601, 1);
  });
}

TEST_P(rate_conformance, rate_07_a_cancel_too_late_or_of_nothing_changes_nothing) {
  in_runtime([] {
    {
      rate_limiter limiter(rate::per_second(10), 2);
      expect_act(limiter, 0, 2, 0);
      auto r = limiter.reserve_at(t(0), 2);
      EXPECT_EQ(r.time_to_act(), t(2));
      r.cancel_at(t(3));
      expect_act(limiter, 3, 2, 4);
    }
    rate_limiter limiter(rate::per_second(10), 2);
    expect_act(limiter, 0, 2, 0);
    auto refused = limiter.reserve_at(t(0), 3);
    EXPECT_FALSE(refused.ok());
    refused.cancel_at(t(0));
    expect_act(limiter, 0, 2, 2);
  });
}

TEST_P(rate_conformance, rate_07_neighbour_a_cancel_in_time_gives_back_what_was_not_booked_behind) {
  in_runtime([] {
    {
      rate_limiter limiter(rate::per_second(10), 2);
      expect_act(limiter, 0, 2, 0);
      auto r = limiter.reserve_at(t(0), 2);
      r.cancel_at(t(1));
      expect_act(limiter, 1, 2, 2);
    }
    {
      rate_limiter limiter(rate::per_second(10), 2);
      expect_act(limiter, 0, 2, 0);
      auto r = limiter.reserve_at(t(0), 1);
      expect_act(limiter, 0, 1, 2);
      r.cancel_at(t(0));
      expect_act(limiter, 0, 1, 3);  // none came back: it was booked behind
    }
    {
      rate_limiter limiter(rate::per_second(10), 2);
      expect_act(limiter, 0, 2, 0);
      auto r = limiter.reserve_at(t(0), 2);
      expect_act(limiter, 0, 1, 3);
      r.cancel_at(t(2));
      expect_act(limiter, 2, 2, 4);  // one of two came back
    }
    rate_limiter limiter(rate::per_second(10), 2);
    EXPECT_TRUE(limiter.reserve_at(t(0), 2).ok());
    expect_act(limiter, 0, 1, 1);  // its end cancels nothing
  });
}

TEST_P(rate_conformance, rate_09_a_longest_wait_is_kept_and_costs_nothing) {
  in_runtime([] {
    rate_limiter limiter(rate::per_second(10), 2);
    EXPECT_EQ(limiter.reserve_within_at(t(0), 1s, 2).time_to_act(), t(0));
    EXPECT_EQ(limiter.reserve_within_at(t(0), 100ms, 1).time_to_act(), t(1));
    EXPECT_FALSE(limiter.reserve_within_at(t(0), 100ms, 1).ok());
    EXPECT_FALSE(limiter.reserve_within_at(t(0), 100ms, 2).ok());
    expect_act(limiter, 0, 1, 2);
  });
}

TEST_P(rate_conformance, rate_09_neighbour_a_wait_with_a_limit_that_is_too_short_takes_nothing) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(10), 2);
    limiter.wait(2);
    const time_point start = steady_clock::now();
    EXPECT_FALSE(limiter.wait_for(199ms, 2));
    EXPECT_EQ(steady_clock::now(), start);
    EXPECT_TRUE(limiter.wait_for(200ms, 2));
    EXPECT_EQ(steady_clock::now(), start + 200ms);
  });
}

TEST_P(rate_conformance, rate_11_a_wait_that_is_canceled_gives_its_tokens_back) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(10), 3);
    limiter.wait(2);
    const time_point start = steady_clock::now();
    EXPECT_THROW(with_timeout(100ms, [&] { limiter.wait(3); }), deadline_exceeded);
    EXPECT_EQ(steady_clock::now(), start + 100ms);
    limiter.wait(2);
    EXPECT_EQ(steady_clock::now(), start + 100ms) << "at once";
  });
}

TEST_P(rate_conformance, rate_11_neighbour_so_does_one_in_the_middle_of_the_queue) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(10), 3);
    limiter.wait(3);
    const time_point start = steady_clock::now();
    auto first = go([&] { limiter.wait(3); });
    sleep_for(1ns);
    auto c = derive_cancel(context::current());
    auto second = go([&] { EXPECT_THROW(limiter.wait(c.ctx, 3), canceled); });
    sleep_for(1ns);
    auto third = go([&] { sleep_for(100ms), c.cancel(); });
    limiter.wait(2);
    EXPECT_EQ(steady_clock::now(), start + 500ms) << "as if the second had never come";
    first.get();
    second.get();
    third.get();
  });
}

TEST_P(rate_conformance, rate_13_who_waits_is_served_in_the_order_of_arrival_and_in_time) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(1000), 1);
    limiter.wait();
    const time_point start = steady_clock::now();
    std::vector<int> order;
    mutex m;
    with_task_group([&](task_group& g) {
      for (int i = 1; i <= 50; ++i) {
        g.go([&, i] {
          limiter.wait();
          EXPECT_GE(steady_clock::now(), start + i * 1ms);
          EXPECT_LE(steady_clock::now(), start + (i + 2) * 1ms);
          const std::scoped_lock hold(m);
          order.push_back(i);
        });
        sleep_for(1ns);
      }
    });
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    EXPECT_EQ(order.size(), 50u);
  });
}

TEST_P(rate_conformance, rate_13_neighbour_heavy_ones_are_not_overtaken_by_light_ones) {
  in_bubble([] {
    rate_limiter limiter(rate::per_second(1000), 100);
    limiter.wait(100);
    const time_point start = steady_clock::now();
    auto heavy = go([&] { limiter.wait(100); });
    sleep_for(1ns);
    std::vector<task<void>> light;
    for (int i = 0; i < 20; ++i) light.push_back(go([&] { limiter.wait(); }));
    heavy.get();
    EXPECT_EQ(steady_clock::now(), start + 100ms);
    for (auto& l : light) l.get();
    EXPECT_EQ(steady_clock::now(), start + 120ms);
  });
}

// ---- singleflight

class singleflight_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(singleflight_conformance);

TEST_P(singleflight_conformance, singleflight_02_the_end_of_a_forgotten_call_does_not_end_the_next_one) {
  in_runtime([this] {
    single_flight<std::string, int> flights;
    channel<unit> end_first, end_second;
    auto first = start([&] {
      EXPECT_EQ(flights.run("k", [&] { return end_first.receive(), 1; }), 1);
    });
    until_waiting(1);
    flights.forget("k");
    auto second = start([&] {
      EXPECT_EQ(flights.run("k", [&] { return end_second.receive(), 2; }), 2);
    });
    until_waiting(2);
    end_first.close();
    first.join();
    auto third = start([&] { EXPECT_EQ(flights.run("k", [] { return 3; }), 2); });
    until_waiting(2);
    end_second.close();
    second.join();
    third.join();
  });
}

TEST_P(singleflight_conformance, singleflight_02_neighbour_who_waits_for_a_forgotten_call_gets_its_result) {
  in_runtime([this] {
    single_flight<std::string, int> flights;
    channel<unit> end;
    std::vector<party> parties;
    for (int n = 0; n < 3; ++n)
      parties.push_back(start([&] {
        EXPECT_EQ(flights.run("k", [&] { return end.receive(), 1; }), 1);
      }));
    until_waiting(3);
    flights.forget("k");
    EXPECT_EQ(flights.run("k", [] { return 2; }), 2);
    end.close();
    for (party& p : parties) p.join();
  });
}

/// n callers of one key, of which the first is canceled while its function runs; the others' results.
void cancel_the_first(single_flight<std::string, int>& flights, int others, std::atomic<int>& at_once,
                      const std::function<party(std::function<void()>)>& start, const std::function<void(std::size_t)>& until) {
  auto c = derive_cancel(context::current());
  channel<unit> never_comes;
  auto first = start([&] {
    const context_scope scope(c.ctx);
    EXPECT_THROW(flights.run("k", [&] { return never_comes.receive(), 1; }), canceled);
  });
  until(1);
  std::vector<party> parties;
  for (int n = 0; n < others; ++n)
    parties.push_back(start([&] {
      EXPECT_EQ(flights.run("k",
                            [&] {
                              EXPECT_EQ(++at_once, 1) << "one at a time";
                              yield();
                              --at_once;
                              return 2;
                            }),
                2);
    }));
  until(static_cast<std::size_t>(others) + 1);
  c.cancel();
  first.join();
  for (party& p : parties) p.join();
}

TEST_P(singleflight_conformance, singleflight_04_the_others_go_on_when_the_first_is_canceled) {
  in_runtime([this] {
    single_flight<std::string, int> flights;
    std::atomic<int> at_once{0};
    cancel_the_first(flights, 4, at_once, [](auto f) { return start(std::move(f)); }, [this](std::size_t n) { until_waiting(n); });
  });
}

TEST_P(singleflight_conformance, singleflight_04_neighbour_whoever_is_canceled_nobody_hangs) {
  in_runtime([] {
    for (std::size_t round = scaled(200); round-- > 0;) {
      single_flight<int, int> flights;
      std::vector<derived_context> contexts;
      for (int n = 0; n < 4; ++n) contexts.push_back(derive_cancel(context::current()));
      std::atomic<int> running{0}, got{0}, gone{0};
      std::vector<party> parties;
      for (auto& c : contexts)
        parties.push_back(start([&] {
          const context_scope scope(c.ctx);
          try {
            got += flights.run(1, [&] {
              EXPECT_EQ(++running, 1);
              const auto ends = std::unique_ptr<std::atomic<int>, void (*)(std::atomic<int>*)>(&running, [](auto* r) { --*r; });
              yield();
              return 1;
            });
          } catch (const canceled&) {
            ++gone;
          }
        }));
      for (std::size_t n = 0; n < 3; ++n) contexts[n].cancel.cancel();
      for (party& p : parties) p.join();
      ASSERT_EQ(got + gone, 4);
      ASSERT_GE(got, 1) << "the one whom nobody canceled";
    }
  });
}

TEST_P(singleflight_conformance, singleflight_06_who_overlaps_is_told_that_it_is_shared) {
  in_runtime([this] {
    single_flight<std::string, std::string> flights;
    EXPECT_FALSE(flights.run_shared("k", [] { return "alone"; }).shared);
    channel<unit> end;
    std::vector<party> parties;
    for (int n = 0; n < 2; ++n)
      parties.push_back(start([&] {
        const auto r = flights.run_shared("k", [&] { return end.receive(), "both"; });
        EXPECT_TRUE(r.shared);
        EXPECT_EQ(r.value, "both");
      }));
    until_waiting(2);
    end.close();
    for (party& p : parties) p.join();
  });
}

TEST_P(singleflight_conformance, singleflight_06_neighbour_a_caller_of_another_key_shares_nothing) {
  in_runtime([this] {
    single_flight<std::string, int> flights;
    channel<unit> end;
    std::vector<party> parties;
    for (const char* key : {"a", "b"})
      parties.push_back(start([&flights, &end, key] {
        EXPECT_FALSE(flights.run_shared(key, [&] { return end.receive(), 1; }).shared);
      }));
    until_waiting(2);
    end.close();
    for (party& p : parties) p.join();
  });
}

struct copied {
  explicit copied(std::atomic<int>& n) : copies(&n) {}
  copied(copied&&) noexcept = default;
  copied(const copied& o) : copies(o.copies) { ++*copies; }
  std::atomic<int>* copies;
};

/// Ten callers of one key at the same time.
template <class V, class F>
void ten_callers(F make, const std::function<party(std::function<void()>)>& start, const std::function<void(std::size_t)>& until) {
  single_flight<int, V> flights;
  channel<unit> end;
  std::vector<party> parties;
  for (int n = 0; n < 10; ++n)
    parties.push_back(start([&] {
      static_cast<void>(flights.run(1, [&] { return end.receive(), make(); }));
    }));
  until(10);
  end.close();
  for (party& p : parties) p.join();
}

TEST_P(singleflight_conformance, singleflight_08_at_most_a_copy_for_each_caller) {
  in_runtime([this] {
    std::atomic<int> copies{0};
    ten_callers<copied>([&] { return copied(copies); }, [](auto f) { return start(std::move(f)); },
                        [this](std::size_t n) { until_waiting(n); });
    EXPECT_LE(copies, 10);
  });
}

TEST_P(singleflight_conformance, singleflight_08_neighbour_no_copy_behind_a_shared_pointer) {
  in_runtime([this] {
    std::atomic<int> copies{0};
    ten_callers<std::shared_ptr<const copied>>([&] { return std::make_shared<const copied>(copies); },
                                               [](auto f) { return start(std::move(f)); },
                                               [this](std::size_t n) { until_waiting(n); });
    EXPECT_EQ(copies, 0);
  });
}

}  // namespace
}  // namespace runnel::test
