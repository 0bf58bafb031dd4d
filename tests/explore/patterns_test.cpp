// Patterns that keep something: retry, rate_limiter, single_flight, cache, in many orders of events.
#include "explored.hpp"

#include <runnel/patterns/cache.hpp>
#include <runnel/patterns/rate_limiter.hpp>
#include <runnel/patterns/retry.hpp>
#include <runnel/patterns/single_flight.hpp>
#include <runnel/runnel.hpp>

#include <atomic>
#include <memory>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;
using testing::choose;

struct failure {};

TEST(explored_retry, it_ends_with_the_value_the_last_failure_or_the_cancellation) {
  holds_in(2'000, [] {
    auto c = derive_cancel(context::current());
    std::atomic<int> calls{0}, failures{0}, told{0};
    const retry_policy p{.attempts = 3, .attempt_timeout = 3s, .delay = 1s, .on_failure = [&](const failed_attempt&) { ++told; }};
    with_task_group([&](task_group& g) {
      g.go([&] {
        const context_scope scope(c.ctx);
        try {
          const int got = retry(p, [&] {
            ++calls;
            switch (choose(4)) {
              case 0: ++failures; throw failure();
              case 1: sleep_for(2s); break;
              case 2: sleep_for(4s); break;
              default: break;
            }
            return calls.load();
          });
          require(got == calls, "the value of an attempt that was not the last");
        } catch (const failure&) {
          require(calls == 3 && told == 3, "gave up too early");
        } catch (const deadline_exceeded&) {
          require(calls == 3 && told == 3, "gave up too early");
        } catch (const canceled&) {
          require(c.ctx.is_canceled(), "canceled by nobody");
        }
        require(told <= calls && failures <= calls, "more failures than attempts");
      });
      g.go([&] {
        sleep_for(choose(2) ? 5s : 1s);
        c.cancel();
      });
    });
  });
}

TEST(explored_rate_limiter, no_token_is_lost_and_none_is_used_twice) {
  holds_in(3'000, [] {
    rate_limiter limiter(rate::per_second(1), 2);
    const time_point begin = steady_clock::now();
    std::atomic<std::uint64_t> used{0};
    auto c = derive_cancel(context::current());
    with_task_group([&](task_group& g) {
      for (std::uint64_t n = 1; n <= 2; ++n) {
        g.go([&, n] {
          limiter.wait(n);
          used += n;
        });
        g.go([&, n] {
          try {
            limiter.wait(c.ctx, n);
            used += n;
          } catch (const canceled&) {
          }
        });
      }
      g.go([&] { c.cancel(); });
      g.go([&] {
        if (limiter.wait_for(2s)) ++used;
        if (auto r = limiter.reserve(); choose(2) || r.delay() == 0s) {
          ++used;
        } else {
          r.cancel();
        }
      });
      if (choose(2)) g.go([&] { limiter.set_rate(rate::per_second(choose(2) ? 1 : 2)); });
    });
    const double came = 2 + 2 * std::chrono::duration<double>(steady_clock::now() - begin).count();
    require(static_cast<double>(used) + limiter.tokens() <= came, "more than came");
    require(used >= 3, "who was not canceled was not served");
  });
}

TEST(explored_rate_limiter, at_one_rate_each_token_is_used_or_there) {
  holds_in(3'000, [] {
    rate_limiter limiter(rate::per_second(1), 3);
    limiter.wait(3);
    const time_point begin = steady_clock::now();
    std::atomic<int> used{0};
    auto c = derive_cancel(context::current());
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 3; ++n)
        g.go([&] {
          try {
            limiter.wait(c.ctx, 2);
            used += 2;
          } catch (const canceled&) {
          }
        });
      g.go([&] {
        sleep_for(choose(3) * 1s);
        c.cancel();
      });
      g.go([&] {
        limiter.wait();
        ++used;
      });
    });
    const auto came = static_cast<double>((steady_clock::now() - begin) / 1s);
    const double tokens = limiter.tokens();
    require(used + tokens == came || tokens == 3, "a token was lost or used twice");
  });
}

TEST(explored_single_flight, one_runs_at_a_time_and_nobody_hangs) {
  holds_in(3'000, [] {
    single_flight<int, int> flights;
    auto c = derive_cancel(context::current());
    std::atomic<int> running{0}, runs{0}, values{0}, failures{0}, gone{0};
    const auto ask = [&] {
      try {
        const auto r = flights.run_shared(1, [&] {
          require(++running == 1, "two at a time");
          const std::shared_ptr<void> ends(nullptr, [&](void*) { --running; });
          const int mine = ++runs;
          yield();
          if (choose(3) == 0) throw failure();
          return mine;
        });
        require(r.value >= 1 && r.value <= runs, "a result of nobody");
        ++values;
      } catch (const failure&) {
        ++failures;
      } catch (const canceled&) {
        require(c.ctx.is_canceled(), "canceled by nobody");
        ++gone;
      }
    };
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 2; ++n)
        g.go([&] {
          const context_scope scope(c.ctx);
          ask();
        });
      g.go(ask);
      g.go(ask);
      g.go([&] { c.cancel(); });
    });
    require(values + failures + gone == 4 && gone <= 2, "a caller without an answer");
    require(!flights.run_shared(1, [] { return 0; }).shared, "something is left");
  });
}

TEST(explored_cache, what_is_returned_is_never_older_than_the_last_invalidation_before_the_call) {
  holds_in(3'000, [] {
    cache<int, int> c({.capacity = 2});
    std::atomic<int> version{1}, loading{0};
    const auto load = [&] {
      require(++loading <= 2, "more than one load before and one behind the invalidation");
      const std::shared_ptr<void> ends(nullptr, [&](void*) { --loading; });
      const int seen = version;
      yield();
      if (choose(4) == 0) throw failure();
      return seen;
    };
    const auto ask = [&] {
      const int least = version;
      try {
        require(c.get_or_load(1, load) >= least, "an old value");
      } catch (const failure&) {
      }
    };
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 3; ++n) g.go(ask);
      g.go([&] {
        const int next = version + 1;
        c.invalidate(1);
        version = next;
        c.invalidate(1);
        ask();
      });
    });
    const auto kept = c.peek(1);
    require(!kept || *kept == version, "an old value was kept");
  });
}

TEST(explored_cache, it_may_end_while_it_refreshes) {
  holds_in(2'000, [] {
    std::atomic<int> running{0};
    {
      cache<int, int> c({.ttl = 1s, .stale_for = 1h}, [&](int k) {
        require(++running == 1, "two loads of one key");
        const std::shared_ptr<void> ends(nullptr, [&](void*) { --running; });
        sleep_for(1s);
        if (choose(3) == 0) throw failure();
        return k;
      });
      c.put(7, 7);
      sleep_for(1s);
      with_task_group([&](task_group& g) {
        for (int n = 0; n < 3; ++n)
          g.go([&] {
            require(c.get(7) == 7, "the stale value");
            sleep_for(choose(2) * 1s);
            require(c.get(7) == 7, "the stale value, or the new one");
          });
      });
    }
    require(running == 0, "a load outlives its cache");
  });
}

}  // namespace
}  // namespace runnel::test
