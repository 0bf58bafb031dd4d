// hedge: the first success of several attempts, the rest canceled and joined.
#include "support/fixture.hpp"

#include <runnel/patterns/hedge.hpp>
#include <runnel/testing/bubble.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class hedge_test : public behaviour {};
RUNNEL_EVERY_CALLER(hedge_test);

const time_point epoch{std::chrono::seconds(946'684'800)};

/// How many attempts there are, and were.
struct attempts {
  std::atomic<int> begun{0}, running{0}, canceled_ones{0};
  /// Takes so long, or ends by its cancellation.
  void take(duration length) {
    ++begun;
    ++running;
    struct ends {
      std::atomic<int>& n;
      ~ends() { --n; }
    } at_end{running};
    try {
      sleep_for(length);
    } catch (const canceled&) {
      ++canceled_ones;
      throw;
    }
  }
};

template <class F>
std::string failure_of(F f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing";
}

TEST_P(hedge_test, an_answer_before_the_delay_needs_one_attempt) {
  in_runtime([] {
    bubble([] {
      attempts a;
      const auto r = hedge({.delay = 50ms, .attempts = 5}, [&] {
        a.take(49ms);
        return std::make_unique<int>(7);
      });
      EXPECT_EQ(*r, 7);
      EXPECT_EQ(a.begun, 1);
      EXPECT_EQ(steady_clock::now(), epoch + 49ms);
    });
  });
}

TEST_P(hedge_test, a_late_one_gets_another_beside_it_and_the_first_success_wins) {
  in_runtime([] {
    bubble([] {
      attempts a;
      const std::size_t winner = hedge({.delay = 40ms, .attempts = 3}, [&](std::size_t number) {
        a.take(number == 1 ? 30ms : 1h);
        return number;
      });
      EXPECT_EQ(winner, 1u);
      EXPECT_EQ(steady_clock::now(), epoch + 70ms);
      EXPECT_EQ(a.begun, 2);
      EXPECT_EQ(a.running, 0) << "joined";
      EXPECT_EQ(a.canceled_ones, 1);
    });
  });
}

TEST_P(hedge_test, there_are_never_more_attempts_than_allowed) {
  in_runtime([] {
    bubble([] {
      attempts a;
      hedge({.delay = 1s, .attempts = 3}, [&] { a.take(1h); });
      EXPECT_EQ(a.begun, 3);
      EXPECT_EQ(a.canceled_ones, 2);
      EXPECT_EQ(steady_clock::now(), epoch + 1h);
      const auto fourth = [](std::size_t attempt) { return attempt < 3 ? throw std::runtime_error("no") : attempt; };
      EXPECT_EQ(hedge({.attempts = ~std::size_t{0}}, fourth), 3u) << "as many as are needed";
    });
  });
}

TEST_P(hedge_test, a_failed_attempt_is_followed_at_once) {
  in_runtime([] {
    bubble([] {
      attempts a;
      const std::size_t winner = hedge({.delay = 1h, .attempts = 3}, [&](std::size_t number) {
        a.take(1ms);
        if (number < 2) throw std::runtime_error("down");
        return number;
      });
      EXPECT_EQ(winner, 2u);
      EXPECT_EQ(steady_clock::now(), epoch + 3ms);
    });
  });
}

TEST_P(hedge_test, when_all_have_failed_the_last_error_is_thrown) {
  in_runtime([] {
    bubble([] {
      EXPECT_EQ(failure_of([] {
                  hedge({.delay = 1ms, .attempts = 3}, [](std::size_t number) {
                    sleep_for(number == 0 ? 1h : 1min);  // the first attempt is the last to fail
                    throw std::runtime_error("attempt " + std::to_string(number));
                  });
                }),
                "attempt 0");
      EXPECT_EQ(steady_clock::now(), epoch + 1h);
    });
  });
}

TEST_P(hedge_test, a_permanent_error_ends_it_at_once) {
  in_runtime([] {
    bubble([] {
      attempts a;
      const hedge_policy policy{.delay = 1ms, .attempts = 5, .is_permanent = [](const std::exception_ptr& e) {
                                  return failure_of([&] { std::rethrow_exception(e); }) == "no such page";
                                }};
      EXPECT_EQ(failure_of([&] {
                  hedge(policy, [&](std::size_t number) {
                    a.take(number == 0 ? 1h : 10us);
                    throw std::runtime_error(number == 1 ? "busy" : "no such page");
                  });
                }),
                "no such page");
      EXPECT_EQ(a.begun, 3);
      EXPECT_EQ(a.running, 0);
      EXPECT_EQ(steady_clock::now(), epoch + 1ms + 20us);
    });
  });
}

TEST_P(hedge_test, its_cancellation_ends_all_attempts) {
  in_runtime([] {
    bubble([] {
      attempts a;
      EXPECT_THROW(with_timeout(1min, [&] { hedge({.delay = 1s, .attempts = 4}, [&] { a.take(1h); }); }), deadline_exceeded);
      EXPECT_EQ(a.begun, 4);
      EXPECT_EQ(a.canceled_ones, 4);
      EXPECT_EQ(a.running, 0);
      EXPECT_EQ(steady_clock::now(), epoch + 1min);
    });
  });
}

TEST_P(hedge_test, attempts_run_below_the_ambient_context) {
  in_runtime([] {
    static const context_key<std::string> user;
    const context_scope scope(derive_value(context::current(), user, std::string("ada")));
    EXPECT_EQ(hedge({}, [] { return *context::current().value(user); }), "ada");
    const cancel_shield shield;
    EXPECT_EQ(hedge({}, [] { return *context::current().value(user); }), "ada");
  });
}

TEST_P(hedge_test, a_delay_of_zero_starts_them_together) {
  in_runtime([] {
    bubble([] {
      attempts a;
      hedge({.delay = 0s, .attempts = 3}, [&] { a.take(1h); });
      EXPECT_EQ(a.begun, 3);
      EXPECT_EQ(steady_clock::now(), epoch + 1h);
    });
  });
}

TEST_P(hedge_test, an_answer_that_cannot_be_handed_over_is_a_failed_attempt) {
  in_runtime([] {
    struct fragile {
      explicit fragile(bool b) : breaks(b) {}
      fragile(fragile&& o) : breaks(o.breaks) {
        if (breaks) throw std::runtime_error("broke");
      }
      bool breaks;
    };
    EXPECT_FALSE(hedge({.delay = 1h, .attempts = 2}, [](std::size_t number) { return fragile(number == 0); }).breaks);
    EXPECT_EQ(failure_of([] { hedge({.attempts = 1}, [] { return fragile(true); }); }), "broke");
  });
}

TEST_P(hedge_test, no_attempts_are_refused) {
  in_runtime([] { EXPECT_THROW(hedge({.attempts = 0}, [] {}), misuse); });
}

}  // namespace
}  // namespace runnel::test
