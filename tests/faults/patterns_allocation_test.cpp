// Actors, servers, circuit breakers and hedged calls without memory: each allocation fails once. Nobody waits for ever,
// nothing is left, and what was made before still works.
#include "support/failing_allocation.hpp"
#include "support/fixture.hpp"

#include <runnel/patterns/actor.hpp>
#include <runnel/patterns/circuit_breaker.hpp>
#include <runnel/patterns/hedge.hpp>
#include <runnel/patterns/serve.hpp>

#include <functional>
#include <memory>
#include <stdexcept>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class patterns_allocation : public plain {
 protected:
  /// With the first, the second … allocation failing until none does; then it must succeed. At least `fewest` have to fail.
  static void fail_each(int fewest, const std::function<void()>& operate) {
    for (int k = 1;; ++k) {
      ASSERT_LT(k, 1000);
      fail_allocation(k);
      std::exception_ptr thrown;
      try {
        operate();
      } catch (const std::exception&) {
        thrown = std::current_exception();
      }
      if (stop_failing()) continue;
      EXPECT_FALSE(thrown);
      EXPECT_GT(k, fewest);
      return;
    }
  }
};

TEST_F(patterns_allocation, an_actor_is_made_or_not_and_its_questions_end) {
  in_runtime({.workers = 1}, [] {
    const auto make = [](reply<int> r) { return r; };
    fail_each(4, [&] {
      actor<reply<int>> a({.on_failure = supervision::restart, .max_restarts = 1}, [] {
        return [kept = std::make_unique<int>(7)](reply<int> r) {
          const auto more = std::make_unique<int>(*kept);
          r(*more);
        };
      });
      EXPECT_EQ(a.ask<int>(make), 7);
      a.stop();
      a.join();
    });
  });
}

TEST_F(patterns_allocation, a_server_that_cannot_start_a_handler_goes_on) {
  in_runtime({.workers = 1}, [] {
    std::atomic<int> handled{0}, failed{0};
    channel<int> requests;
    auto s = serve(requests, [&](int) { ++handled; }, {.on_error = [&](std::exception_ptr) { ++failed; }});
    int sent = 0;
    fail_each(0, [&] {
      for (int i = 0; i < 3; ++i) {
        requests.send(1);
        ++sent;
      }
      while (handled + failed < sent) yield();
    });
    requests.close();
    s.wait();
    EXPECT_EQ(handled + failed, sent) << "each is handled, or given to on_error";
    fail_each(1, [&] {
      channel<int> others(1);
      auto other = serve(others, [](int) {});
      others.send(1);
      const shutdown_report r = other.shutdown(1h);
      EXPECT_EQ(r.canceled, 0u);
    });
  });
}

TEST_F(patterns_allocation, a_hedged_call_answers_or_throws_and_a_breaker_keeps_its_state) {
  in_runtime({.workers = 1}, [] {
    fail_each(1, [] {
      EXPECT_EQ(hedge({.delay = 0s, .attempts = 3}, [](std::size_t n) {
                  if (n < 2) throw std::runtime_error("attempt");
                  return 7;
                }),
                7);
    });
    fail_each(1, [] {
      int changes = 0;
      circuit_breaker b({.consecutive_failures = 1, .on_change = [&](circuit_state, circuit_state) { ++changes; }});
      try {
        b.call([]() -> int { throw std::bad_alloc(); });
      } catch (const std::bad_alloc&) {
      }
      EXPECT_EQ(b.state(), circuit_state::open);
      EXPECT_THROW(b.call([] {}), circuit_open);
    });
  });
}

}  // namespace
}  // namespace runnel::test
