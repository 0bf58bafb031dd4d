// The patterns without memory: each allocation fails once. Nobody waits for ever,
// nothing is left, and what was made before still works.
#include "support/failing_allocation.hpp"
#include "support/fixture.hpp"

#include <runnel/patterns/actor.hpp>
#include <runnel/patterns/batcher.hpp>
#include <runnel/patterns/cache.hpp>
#include <runnel/patterns/circuit_breaker.hpp>
#include <runnel/patterns/fan_out.hpp>
#include <runnel/patterns/generate.hpp>
#include <runnel/patterns/hedge.hpp>
#include <runnel/patterns/keyed_rate_limiter.hpp>
#include <runnel/patterns/merge.hpp>
#include <runnel/patterns/parallel.hpp>
#include <runnel/patterns/pipeline.hpp>
#include <runnel/patterns/serve.hpp>
#include <runnel/patterns/single_flight.hpp>
#include <runnel/patterns/tee.hpp>
#include <runnel/patterns/worker_pool.hpp>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

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

TEST_F(patterns_allocation, a_worker_pool_and_its_jobs_end) {
  in_runtime({.workers = 1}, [] {
    fail_each(4, [] {
      worker_pool<int, std::string> pool([](int v) { return std::string(100, static_cast<char>(v)); }, {.workers = 2});
      auto job = pool.submit('x');
      EXPECT_EQ(job.get(), std::string(100, 'x'));
      auto other = pool.submit('y');
      other.cancel();
      pool.resize(3);
      pool.drain();
    });
  });
}

TEST_F(patterns_allocation, a_posted_job_brings_its_result_or_is_a_failure) {
  in_runtime({.workers = 1}, [] {
    fail_each(4, [] {
      worker_pool<int, std::string> pool([](int v) { return std::string(100, static_cast<char>(v)); },
                                         {.workers = 2, .on_failure = job_failure::collected});
      for (int i = 0; i < 3; ++i) pool.post('x');
      std::exception_ptr failure;
      try {
        pool.drain();
      } catch (const task_group_error&) {
        failure = std::make_exception_ptr(std::bad_alloc());
      }
      int results = 0;
      while (pool.results().receive()) ++results;
      EXPECT_TRUE(results == 3 || failure);
      if (failure) std::rethrow_exception(failure);
    });
  });
}

TEST_F(patterns_allocation, a_batcher_flushes_or_says_why_not) {
  in_runtime({.workers = 1}, [] {
    fail_each(4, [] {
      std::size_t flushed = 0;
      const auto flush = [&](std::vector<std::string>& batch) { flushed += batch.size(); };
      batcher<std::string> b(flush, {.size = 2, .age = 1ms});
      for (int i = 0; i < 3; ++i) b.add(std::string(100, 'x'));
      b.flush();
      EXPECT_EQ(flushed, 3u);
      b.add("one more");
      b.close();
      EXPECT_EQ(flushed, 4u);
    });
  });
}

TEST_F(patterns_allocation, streams_and_pipelines_bring_everything_or_fail) {
  in_runtime({.workers = 1}, [] {
    const auto numbers = [] {
      return generate<int>([](auto& out) {
        for (int i = 1; i <= 3; ++i) out.send(i);
      });
    };
    fail_each(4, [&] {
      int sum = 0;
      for (const int v : fan_out(merge(numbers(), numbers()), 2, [](int v) { return v; })) sum += v;
      EXPECT_EQ(sum, 12);
    });
    fail_each(4, [&] {
      auto branches = tee(numbers(), 2);
      auto other = go([&] {
        int sum = 0;
        for (const int v : branches[1]) sum += v;
        return sum;
      });
      int sum = 0;
      for (const int v : branches[0]) sum += v;
      EXPECT_EQ(sum + other.get(), 12);
    });
    fail_each(4, [&] {
      std::size_t n = 0;
      const auto text = [](int v) { return std::string(50, static_cast<char>(v)); };
      const auto any = [](const std::string&) { return true; };
      for (const auto& b : from(numbers()) | map(text, {.workers = 2}) | filter(any) | batch(2, 1h))
        n += b.size();
      EXPECT_EQ(n, 3u);
    });
  });
}

TEST_F(patterns_allocation, what_is_made_once_for_all_is_made_by_the_next) {
  in_runtime({.workers = 1}, [] {
    const auto make = [] { return std::string(100, 'x'); };
    fail_each(3, [&] {
      single_flight<std::string, std::string> flights;
      auto other = go([&] { return flights.run("key", make); });
      EXPECT_EQ(flights.run("key", [&] { return yield(), make(); }), make());
      EXPECT_EQ(other.get(), make());
      flights.forget("key");
    });
    const auto load = [](const std::string& key) { return key + std::string(100, 'x'); };
    cache<std::string, std::string> kept({.capacity = 2, .ttl = 1h}, load);
    int n = 0;
    fail_each(1, [&] {
      const std::string key = std::to_string(n++ % 3);
      const std::string value = kept.get(key);
      EXPECT_EQ(value.substr(0, 1), key);
      kept.put(key, value);
      kept.invalidate(key);
    });
    fail_each(2, [&] {
      keyed_rate_limiter<std::string> limits(rate::per_second(1), 1);
      EXPECT_TRUE(limits.allow("some key that is long enough not to be short"));
      limits.wait("some other key that is long enough");
    });
  });
}

TEST_F(patterns_allocation, fork_join_ends_what_it_has_begun) {
  in_runtime({.workers = 2}, [] {
    fail_each(2, [] {
      const std::vector<int> in(8, 1);
      const auto text = [](int v) { return yield(), std::string(50, static_cast<char>(v)); };
      const auto texts = parallel_transform(in, text, {.grain = 1});
      EXPECT_EQ(parallel_reduce(texts, std::size_t{0}, std::plus<>(), &std::string::size, {.grain = 1}), 400u);
    });
  });
}

}  // namespace
}  // namespace runnel::test
