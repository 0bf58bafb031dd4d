// retry: what is tried again, when, and what is thrown in the end.
#include "support/fixture.hpp"

#include <runnel/patterns/retry.hpp>
#include <runnel/testing/bubble.hpp>

#include <limits>
#include <stdexcept>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

class retry_laws : public behaviour {
 protected:
  /// Runs body in virtual time.
  void in_bubble(const std::function<void()>& body) {
    in_runtime([&] { bubble(body); });
  }
};
RUNNEL_EVERY_CALLER(retry_laws);

struct failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

const retry_policy every_second{.attempts = 4, .delay = 1s, .multiplier = 1, .jitter = jitter::none};

retry_policy with(const std::function<void(retry_policy&)>& change, retry_policy p = every_second) {
  change(p);
  return p;
}
std::vector<nanoseconds> first_delays(const retry_policy& p, int n) {
  std::vector<nanoseconds> found;
  for (retry_delays d(p); n-- > 0;) found.push_back(d.next());
  return found;
}

TEST_P(retry_laws, it_returns_what_the_first_attempt_that_succeeds_returns) {
  in_bubble([] {
    const time_point start = steady_clock::now();
    int calls = 0;
    const auto third = [&] {
      if (++calls < 3) throw failure("not yet");
      return std::make_unique<int>(calls);
    };
    EXPECT_EQ(*retry(every_second, third), 3);
    EXPECT_EQ(steady_clock::now(), start + 2s);
    int& same = retry(every_second, [&]() -> int& { return calls; });
    EXPECT_EQ(&same, &calls);
    std::vector<std::size_t> numbers;
    retry(every_second, [&](std::size_t number) {
      numbers.push_back(number);
      if (number < 2) throw failure("once more");
    });
    EXPECT_EQ(numbers, (std::vector<std::size_t>{1, 2}));
  });
}

TEST_P(retry_laws, the_last_attempts_error_is_thrown_as_it_is) {
  in_bubble([] {
    std::exception_ptr last;
    int calls = 0;
    try {
      retry(every_second, [&] {
        last = std::make_exception_ptr(failure(std::to_string(++calls)));
        std::rethrow_exception(last);
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const failure& e) {
      EXPECT_EQ(std::current_exception(), last);
      EXPECT_STREQ(e.what(), "4") << "as many attempts as allowed";
    }
  });
}

TEST_P(retry_laws, delays_grow_to_the_cap_and_no_number_of_failures_overflows_them) {
  const retry_policy p{.delay = 1s, .max_delay = 10s, .multiplier = 2, .jitter = jitter::none};
  EXPECT_EQ(first_delays(p, 6), (std::vector<nanoseconds>{1s, 2s, 4s, 8s, 10s, 10s}));
  const retry_policy endless{.delay = 1ns, .max_delay = nanoseconds::max(), .multiplier = 1e300, .jitter = jitter::none};
  const auto delays = first_delays(endless, 100);
  EXPECT_EQ(delays.front(), 1ns);
  for (std::size_t i = 1; i < delays.size(); ++i) EXPECT_EQ(delays[i], nanoseconds::max());
  for (const auto j : {jitter::full, jitter::equal, jitter::decorrelated}) {
    const retry_policy any{.delay = 1h, .max_delay = nanoseconds::max(), .multiplier = 7, .jitter = j};
    for (const nanoseconds d : first_delays(any, 200)) EXPECT_GE(d, 0ns);
  }
  retry_delays d(p);
  for (int i = 0; i < 5; ++i) static_cast<void>(d.next());
  d.reset();
  EXPECT_EQ(d.next(), 1s);
}

TEST_P(retry_laws, each_jitter_draws_from_its_own_range) {
  double drawn = 0;
  retry_policy p{.delay = 1s, .max_delay = 15s, .multiplier = 3, .random = [&] { return drawn; }};
  const auto ends = [&](jitter j) {
    p.jitter = j;
    drawn = 0;
    const auto least = first_delays(p, 4);
    drawn = 1;
    return std::pair(least, first_delays(p, 4));
  };
  using list = std::vector<nanoseconds>;
  EXPECT_EQ(ends(jitter::none), std::pair(list({1s, 3s, 9s, 15s}), list({1s, 3s, 9s, 15s})));
  EXPECT_EQ(ends(jitter::full), std::pair(list({0s, 0s, 0s, 0s}), list({1s, 3s, 9s, 15s})));
  EXPECT_EQ(ends(jitter::equal), std::pair(list({500ms, 1500ms, 4500ms, 7500ms}), list({1s, 3s, 9s, 15s})));
  EXPECT_EQ(ends(jitter::decorrelated), std::pair(list({1s, 1s, 1s, 1s}), list({4s, 15s, 15s, 15s})));
}

TEST_P(retry_laws, the_librarys_own_chance_fills_the_range) {
  const retry_policy p{.delay = 1s, .multiplier = 1, .jitter = jitter::full};
  nanoseconds least = 1s, most = 0s;
  for (const nanoseconds d : first_delays(p, 200)) {
    EXPECT_GE(d, 0ns);
    EXPECT_LE(d, 1s);
    least = std::min(least, d), most = std::max(most, d);
  }
  EXPECT_LT(least, 300ms);
  EXPECT_GT(most, 700ms);
}

TEST_P(retry_laws, a_budget_that_does_not_allow_the_next_delay_ends_it_at_once) {
  in_bubble([] {
    const auto attempts_within = [](duration budget, duration each) {
      int calls = 0;
      const time_point start = steady_clock::now();
      EXPECT_THROW(retry(with([&](retry_policy& p) { p.budget = budget, p.attempts = retry_policy::unlimited; }),
                         [&] {
                           ++calls;
                           sleep_for(each);
                           throw failure("no");
                         }),
                   failure);
      return std::pair(calls, duration(steady_clock::now() - start).nanoseconds());
    };
    EXPECT_EQ(attempts_within(0s, 0s), std::pair(1, nanoseconds(0s)));
    EXPECT_EQ(attempts_within(2500ms, 0s), std::pair(3, nanoseconds(2s))) << "it does not sleep into the end";
    EXPECT_EQ(attempts_within(2s, 0s), std::pair(3, nanoseconds(2s))) << "an attempt may begin at the end";
    EXPECT_EQ(attempts_within(10s, 4s), std::pair(3, nanoseconds(14s))) << "attempts count, and are not interrupted";
  });
}

TEST_P(retry_laws, an_attempts_own_time_limit_is_a_failure) {
  in_bubble([] {
    const retry_policy p = with([](retry_policy& q) { q.attempt_timeout = 5s; });
    const time_point start = steady_clock::now();
    EXPECT_EQ(retry(p,
                    [](std::size_t number) {
                      if (number < 3) sleep_for(1h);
                      return number;
                    }),
              3u);
    EXPECT_EQ(steady_clock::now(), start + 12s);
    EXPECT_THROW(retry(p, [] { sleep_for(1h); }), deadline_exceeded) << "the last one's is thrown";
    int calls = 0;
    EXPECT_THROW(retry(every_second,
                       [&] {
                         ++calls;
                         with_timeout(1s, [] { sleep_for(1h); });
                       }),
                 deadline_exceeded);
    EXPECT_EQ(calls, 4) << "so is one that f has set";
  });
}

TEST_P(retry_laws, what_is_permanent_is_not_tried_again) {
  in_bubble([] {
    const auto calls_of = [](const auto& thrown, const retry_policy& p) {
      int calls = 0;
      EXPECT_ANY_THROW(retry(p, [&] {
        ++calls;
        throw thrown;
      }));
      return calls;
    };
    const retry_policy p =
        with([](retry_policy& q) { q.permanent = error_is<std::invalid_argument, std::domain_error>; });
    EXPECT_EQ(calls_of(std::invalid_argument("bad"), p), 1);
    EXPECT_EQ(calls_of(std::domain_error("bad"), p), 1);
    EXPECT_EQ(calls_of(failure("bad"), p), 4);
    EXPECT_EQ(calls_of(7, p), 4) << "no std::exception";
    EXPECT_EQ(calls_of(misuse("mine"), every_second), 1) << "a misuse never gets better";
  });
}

TEST_P(retry_laws, the_observer_sees_every_failure_and_what_comes_next) {
  in_bubble([] {
    std::vector<std::pair<std::size_t, std::optional<nanoseconds>>> seen;
    const auto observed = with([&](retry_policy& p) {
      p.multiplier = 2;
      p.on_failure = [&](const failed_attempt& a) {
        EXPECT_TRUE(error_is<failure>(a.error));
        seen.emplace_back(a.number, a.next_delay);
      };
    });
    EXPECT_THROW(retry(observed, [] { throw failure("no"); }), failure);
    EXPECT_EQ(seen, (decltype(seen){{1, 1s}, {2, 2s}, {3, 4s}, {4, std::nullopt}}));
    const auto stops = with([](retry_policy& p) { p.on_failure = [](const failed_attempt&) { throw std::domain_error("stop"); }; });
    EXPECT_THROW(retry(stops, [] { throw failure("no"); }), std::domain_error);
  });
}

TEST_P(retry_laws, a_canceled_caller_gets_canceled_at_once) {
  in_bubble([] {
    int observed = 0;
    const auto p = with([&](retry_policy& q) {
      q.attempts = retry_policy::unlimited, q.budget = nanoseconds::max();
      q.delay = q.max_delay = 1h, q.attempt_timeout = 2h;
      q.on_failure = [&](const failed_attempt&) { ++observed; };
    });
    const auto start = steady_clock::now();
    int calls = 0;
    EXPECT_THROW(with_timeout(1min,
                              [&] {
                                retry(p, [&] {
                                  ++calls;
                                  throw failure("no");
                                });
                              }),
                 deadline_exceeded)
        << "between attempts";
    EXPECT_EQ(std::pair(calls, observed), std::pair(1, 1));
    EXPECT_THROW(with_timeout(1min,
                              [&] {
                                retry(p, [&] {
                                  ++calls;
                                  sleep_for(90min);
                                });
                              }),
                 deadline_exceeded)
        << "in f";
    EXPECT_EQ(std::pair(calls, observed), std::pair(2, 1)) << "a cancellation is no failure";
    EXPECT_EQ(steady_clock::now(), start + 2min);
    auto c = derive_cancel(context::current());
    const context_scope scope(c.ctx);
    EXPECT_THROW(retry(p,
                       [&] {
                         ++calls;
                         c.cancel();
                         throw failure("in its place");
                       }),
                 canceled)
        << "whatever f makes of it";
    EXPECT_THROW(retry(p, [&] { ++calls; }), canceled) << "and before f is called";
    EXPECT_EQ(calls, 3);
  });
}

TEST_P(retry_laws, a_context_that_is_given_ends_it_as_the_callers_own_does) {
  in_bubble([] {
    const auto p = with([](retry_policy& q) { q.delay = q.max_delay = 1h, q.budget = nanoseconds::max(); });
    int calls = 0;
    const auto fails = [&] {
      ++calls;
      throw failure("no");
    };
    const auto sleeps = [&] {
      ++calls;
      sleep_for(90min);
    };
    const auto start = steady_clock::now();
    {
      const auto limited = derive_timeout(context::background(), 1min);
      EXPECT_THROW(retry(limited.ctx, p, fails), deadline_exceeded) << "between attempts";
      EXPECT_THROW(retry(limited.ctx, p, fails), deadline_exceeded) << "before f is called";
      EXPECT_EQ(calls, 1);
    }
    {
      const auto limited = derive_timeout(context::background(), 1min);
      EXPECT_THROW(retry(limited.ctx, p, sleeps), deadline_exceeded) << "in f, and it is no failure of the attempt";
      EXPECT_EQ(calls, 2);
    }
    EXPECT_EQ(steady_clock::now(), start + 2min);
    auto given = derive_cancel(context::background());
    EXPECT_THROW(with_timeout(1min, [&] { retry(given.ctx, p, sleeps); }), deadline_exceeded) << "the ambient one too";
    calls = 0;
    EXPECT_EQ(retry(given.ctx, every_second,
                    [&](std::size_t number) {
                      if (++calls < 3) with_timeout(1s, [] { sleep_for(1h); });
                      return number;
                    }),
              3u)
        << "a limit of its own is a failure";
    try {
      retry(given.ctx, p, [&] {
        given.cancel();
        throw failure("in its place");
      });
      ADD_FAILURE();
    } catch (const canceled& c) {
      EXPECT_EQ(c.origin(), given.ctx);
    }
    this_fiber::checkpoint();
  });
}

TEST_P(retry_laws, the_cancellation_of_something_else_is_not_retried) {
  in_bubble([] {
    int calls = 0;
    auto other = derive_cancel(context::background());
    other.cancel();
    EXPECT_THROW(retry(every_second,
                       [&] {
                         ++calls;
                         other.ctx.check();
                       }),
                 canceled);
    EXPECT_EQ(calls, 1);
  });
}

TEST_P(retry_laws, a_policy_without_sense_is_refused_before_f_is_called) {
  const auto refused = [](const std::function<void(retry_policy&)>& change) {
    const retry_policy p = with(change);
    EXPECT_THROW(retry(p, [] { ADD_FAILURE() << "called"; }), misuse);
  };
  in_runtime([&] {
    refused([](retry_policy& p) { p.attempts = 0; });
    refused([](retry_policy& p) { p.budget = -1ns; });
    refused([](retry_policy& p) { p.attempt_timeout = 0s; });
    refused([](retry_policy& p) { p.delay = -1ns; });
    refused([](retry_policy& p) { p.max_delay = 999ms; });
    refused([](retry_policy& p) { p.multiplier = 0.5; });
    refused([](retry_policy& p) { p.multiplier = std::numeric_limits<double>::infinity(); });
    refused([](retry_policy& p) { p.multiplier = std::numeric_limits<double>::quiet_NaN(); });
    auto steep = with([](retry_policy& p) {
      p.jitter = jitter::decorrelated, p.multiplier = std::numeric_limits<double>::max(), p.random = [] { return 0.0; };
    });
    retry_delays delays(steep);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(delays.next(), steep.delay.nanoseconds()) << "the least";
    const auto strange = with([](retry_policy& p) { p.jitter = jitter::full, p.random = [] { return 1.5; }; });
    EXPECT_THROW(retry(strange, [] { throw failure("no"); }), misuse);
  });
}

}  // namespace
}  // namespace runnel::test
