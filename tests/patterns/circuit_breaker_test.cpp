// circuit_breaker: what opens it, what it lets through, and what counts.
#include "support/fixture.hpp"

#include <runnel/patterns/circuit_breaker.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/testing/bubble.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;
using enum circuit_state;

class circuit_breaker_test : public behaviour {};
RUNNEL_EVERY_CALLER(circuit_breaker_test);

struct trouble : std::runtime_error {
  trouble() : std::runtime_error("trouble") {}
};

void fail(circuit_breaker& b) {
  EXPECT_THROW(b.call([] { throw trouble(); }), trouble);
}
void succeed(circuit_breaker& b) {
  EXPECT_EQ(b.call([] { return 7; }), 7);
}
bool refuses(circuit_breaker& b) {
  try {
    b.call([] {});
    return false;
  } catch (const circuit_open&) {
    return true;
  }
}

TEST_P(circuit_breaker_test, what_f_returns_is_returned_whatever_it_is) {
  in_runtime([] {
    circuit_breaker b;
    int i = 0;
    EXPECT_EQ(&b.call([&]() -> int& { return i; }), &i);
    EXPECT_EQ(*b.call([] { return std::make_unique<int>(3); }), 3);
    b.call([] {});
    EXPECT_EQ(b.counters().succeeded, 3u);
  });
}

TEST_P(circuit_breaker_test, failures_in_a_row_open_it_and_it_refuses_at_once_until_the_time_is_over) {
  in_runtime([] {
    bubble([] {
      circuit_breaker b({.consecutive_failures = 3, .open_for = 1h});
      fail(b);
      fail(b);
      succeed(b);  // the row is broken
      fail(b);
      fail(b);
      EXPECT_EQ(b.state(), closed);
      fail(b);
      EXPECT_EQ(b.state(), open);
      sleep_for(20min);
      try {
        b.call([] { ADD_FAILURE() << "called"; });
        ADD_FAILURE() << "not refused";
      } catch (const circuit_open& e) {
        EXPECT_EQ(e.retry_after(), 40min);
      }
      sleep_for(40min - 1ns);
      EXPECT_TRUE(refuses(b));
      sleep_for(1ns);
      EXPECT_EQ(b.state(), half_open);
      succeed(b);
      EXPECT_EQ(b.state(), closed);
      EXPECT_EQ(b.counters().opened, 1u);
      EXPECT_EQ(b.counters().refused, 2u);
      EXPECT_EQ(b.counters().failed, 5u);
      EXPECT_EQ(b.counters().succeeded, 2u);
    });
  });
}

TEST_P(circuit_breaker_test, a_failed_probe_opens_it_again_for_as_long) {
  in_runtime([] {
    bubble([] {
      circuit_breaker b({.consecutive_failures = 1, .open_for = 1h});
      fail(b);
      sleep_for(1h);
      fail(b);
      EXPECT_EQ(b.state(), open);
      sleep_for(59min);
      EXPECT_TRUE(refuses(b));
      sleep_for(1min);
      succeed(b);
      EXPECT_EQ(b.state(), closed);
    });
  });
}

TEST_P(circuit_breaker_test, so_many_probes_are_let_through_and_all_must_succeed) {
  in_runtime([] {
    bubble([] {
      circuit_breaker b({.consecutive_failures = 1, .open_for = 1h, .probes = 2});
      fail(b);
      sleep_for(1h);
      event gate;
      auto first = go([&] { b.call([&] { gate.wait(); }); });
      auto second = go([&] { b.call([&] { gate.wait(); }); });
      sleep_for(1s);
      try {
        b.call([] {});
        ADD_FAILURE() << "a third probe";
      } catch (const circuit_open& e) {
        EXPECT_EQ(e.retry_after(), 0s);
      }
      EXPECT_EQ(b.state(), half_open);
      gate.set();
      first.get();
      second.get();
      EXPECT_EQ(b.state(), closed);

      fail(b);
      sleep_for(1h);
      succeed(b);
      EXPECT_EQ(b.state(), half_open) << "one more must succeed";
      fail(b);
      EXPECT_EQ(b.state(), open);
    });
  });
}

TEST_P(circuit_breaker_test, the_ratio_of_failures_in_the_window_opens_it_when_there_were_calls_enough) {
  in_runtime([] {
    bubble([] {
      circuit_breaker b({.consecutive_failures = 0, .failure_ratio = 0.5, .minimum_calls = 6, .window = 10h});
      for (int i = 0; i < 5; ++i) fail(b);
      EXPECT_EQ(b.state(), closed) << "too few calls";
      sleep_for(10h);  // they have left the window
      for (int i = 0; i < 4; ++i) succeed(b);
      for (int i = 0; i < 3; ++i) fail(b);
      EXPECT_EQ(b.state(), closed) << "three of seven";
      sleep_for(5h);  // still in the window
      fail(b);
      EXPECT_EQ(b.state(), open) << "four of eight";
    });
  });
}

TEST_P(circuit_breaker_test, without_a_ratio_no_mixture_opens_it) {
  in_runtime([] {
    circuit_breaker b({.consecutive_failures = 2});
    for (int i = 0; i < 100; ++i) {
      fail(b);
      succeed(b);
    }
    EXPECT_EQ(b.state(), closed);
  });
}

TEST_P(circuit_breaker_test, is_failure_says_what_counts) {
  in_runtime([] {
    circuit_breaker b({.consecutive_failures = 2, .is_failure = [](const std::exception_ptr& e) {
                         try {
                           std::rethrow_exception(e);
                         } catch (const std::invalid_argument&) {
                           return false;  // the caller's own
                         } catch (...) {
                           return true;
                         }
                       }});
    fail(b);
    EXPECT_THROW(b.call([] { throw std::invalid_argument("no such item"); }), std::invalid_argument);
    fail(b);
    EXPECT_EQ(b.state(), closed) << "it answered in between";
    fail(b);
    EXPECT_EQ(b.state(), open);
    EXPECT_EQ(b.counters().failed, 3u);
    EXPECT_EQ(b.counters().succeeded, 1u);

    circuit_breaker strict({.consecutive_failures = 1,
                            .is_failure = [](const std::exception_ptr&) -> bool { throw std::logic_error("which?"); }});
    EXPECT_THROW(strict.call([] { throw trouble(); }), std::logic_error);
    EXPECT_EQ(strict.state(), open) << "counted as a failure";
  });
}

TEST_P(circuit_breaker_test, a_canceled_caller_counts_as_nothing_and_a_limit_inside_is_a_failure) {
  in_runtime([] {
    bubble([] {
      circuit_breaker b({.consecutive_failures = 1, .open_for = 1h});
      EXPECT_THROW(with_timeout(1s, [&] { b.call([] { sleep_for(1min); }); }), deadline_exceeded);
      EXPECT_EQ(b.state(), closed);
      EXPECT_EQ(b.counters().failed + b.counters().succeeded, 0u);
      EXPECT_THROW(b.call([] { with_timeout(1s, [] { sleep_for(1min); }); }), deadline_exceeded);
      EXPECT_EQ(b.state(), open);
      sleep_for(1h);
      auto probe = go([&] { b.call([] { sleep_for(1h); }); });
      sleep_for(1s);
      EXPECT_TRUE(refuses(b)) << "the probe is out";
      probe.cancel();
      EXPECT_THROW(probe.get(), task_canceled);
      EXPECT_EQ(b.state(), half_open);
      succeed(b);  // its place was given back
      EXPECT_EQ(b.state(), closed);
    });
  });
}

TEST_P(circuit_breaker_test, the_outcome_of_a_call_from_before_a_change_changes_nothing) {
  in_runtime([] {
    bubble([] {
      circuit_breaker b({.consecutive_failures = 1, .open_for = 1h});
      auto slow_success = go([&] { b.call([] { sleep_for(61min); }); });
      auto slow_failure = go([&] {
        b.call([] {
          sleep_for(62min);
          throw trouble();
        });
      });
      sleep_for(1s);
      fail(b);
      sleep_for(1h);
      event gate;
      auto probe = go([&] { b.call([&] { gate.wait(); }); });
      slow_success.get();
      EXPECT_EQ(b.state(), half_open);
      EXPECT_TRUE(refuses(b)) << "nor does it give a place back";
      EXPECT_THROW(slow_failure.get(), trouble);
      EXPECT_EQ(b.state(), half_open);
      gate.set();
      probe.get();
      EXPECT_EQ(b.state(), closed);
    });
  });
}

TEST_P(circuit_breaker_test, on_change_hears_of_each_change_in_order_and_may_call_the_breaker) {
  static std::atomic<int> unhandled{0};
  unhandled = 0;
  const auto before = set_unhandled_hook([](std::exception_ptr, fiber_info) noexcept { ++unhandled; });
  in_runtime([] {
    bubble([] {
      std::vector<circuit_state> heard;
      std::optional<circuit_breaker> b;
      b.emplace(circuit_breaker_options{
          .consecutive_failures = 1, .open_for = 1h, .on_change = [&](circuit_state from, circuit_state to) {
            heard.push_back(from);
            heard.push_back(to);
            EXPECT_EQ(b->state(), to);
            if (to == open) {
              EXPECT_TRUE(refuses(*b));
            } else if (to == closed) {
              throw std::runtime_error("log full");
            }
          }});
      fail(*b);
      sleep_for(1h);
      fail(*b);
      sleep_for(1h);
      succeed(*b);
      EXPECT_EQ(heard, (std::vector{closed, open, open, half_open, half_open, open, open, half_open, half_open, closed}));
    });
  });
  EXPECT_EQ(unhandled, 1);
  set_unhandled_hook(before);
}

TEST_P(circuit_breaker_test, options_that_make_no_sense_are_refused) {
  in_runtime([] {
    EXPECT_THROW(circuit_breaker({.consecutive_failures = 0}), misuse);
    EXPECT_THROW(circuit_breaker({.failure_ratio = 1.1}), misuse);
    EXPECT_THROW(circuit_breaker({.failure_ratio = -0.5}), misuse);
    EXPECT_THROW(circuit_breaker({.failure_ratio = 0.5, .minimum_calls = 0}), misuse);
    EXPECT_THROW(circuit_breaker({.failure_ratio = 0.5, .window = 0s}), misuse);
    EXPECT_THROW(circuit_breaker({.open_for = 0s}), misuse);
    EXPECT_THROW(circuit_breaker({.probes = 0}), misuse);
  });
}

TEST_P(circuit_breaker_test, many_callers_count_each_call_once) {
  in_runtime([] {
    circuit_breaker b({.consecutive_failures = 1'000'000});
    const int n = static_cast<int>(scaled(500));
    std::vector<party> callers;
    for (int c = 0; c < 4; ++c)
      callers.push_back(start([&, c] {
        for (int i = 0; i < n; ++i) {
          if (c % 2 == 0) {
            b.call([] {});
          } else {
            fail(b);
          }
        }
      }));
    for (party& p : callers) p.join();
    EXPECT_EQ(b.counters().succeeded, static_cast<std::uint64_t>(2 * n));
    EXPECT_EQ(b.counters().failed, static_cast<std::uint64_t>(2 * n));
  });
}

}  // namespace
}  // namespace runnel::test
