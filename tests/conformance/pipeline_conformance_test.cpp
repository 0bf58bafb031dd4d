// Pipelines of channels, generators, worker pools and batchers: the rows that other libraries' tests state, each with a neighbour.
#include "support/fixture.hpp"

#include <runnel/patterns/batcher.hpp>
#include <runnel/patterns/generate.hpp>
#include <runnel/patterns/merge.hpp>
#include <runnel/patterns/pipeline.hpp>
#include <runnel/patterns/worker_pool.hpp>
#include <runnel/sync/barrier.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/testing/bubble.hpp>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <stdexcept>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class pipeline_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(pipeline_conformance);

// ---- 02: a sieve with a feedback loop --------------------------------------------------------------------------

/// p*p, p*(p+2), p*(p+4), ...
stream<int, spsc> multiples(int p) {
  return generate<int>(
      [p](auto& out) {
        for (int n = p * p;; n += 2 * p) out.send(n);
      },
      {.buffer = 10});
}

/// A stream whose first value has been looked at.
struct peeked {
  stream<int, spsc> rest;
  int head;
  explicit peeked(stream<int, spsc> s) : rest(std::move(s)), head(*rest.receive()) {}
};
struct later {
  bool operator()(const std::unique_ptr<peeked>& a, const std::unique_ptr<peeked>& b) const { return a->head > b->head; }
};

/// The composites, from the multiples of the primes that are fed back.
void composites(const send_channel<int, spsc>& out, const receive_channel<int>& primes) {
  std::priority_queue<std::unique_ptr<peeked>, std::vector<std::unique_ptr<peeked>>, later> heap;
  heap.push(std::make_unique<peeked>(multiples(*primes.receive())));
  int smallest_unseen = *primes.receive();
  for (int last = 0;;) {
    // Multiples of a prime begin at its square: it joins when that is reached.
    while (smallest_unseen * smallest_unseen <= heap.top()->head) {
      heap.push(std::make_unique<peeked>(multiples(smallest_unseen)));
      smallest_unseen = *primes.receive();
    }
    auto top = std::move(const_cast<std::unique_ptr<peeked>&>(heap.top()));
    heap.pop();
    if (top->head != last) out.send(last = top->head);
    top->head = *top->rest.receive();
    heap.push(std::move(top));
  }
}

/// Passes values on and never makes the sender wait; what is to be sent is switched off while there is nothing.
void unbounded_proxy(const receive_channel<int>& in, const send_channel<int>& out) {
  std::deque<int> waiting;
  for (;;) {
    int next = waiting.empty() ? 0 : waiting.front();
    select(on_receive(in, [&](std::optional<int> v) { waiting.push_back(v.value()); }),
           on_send(out, std::move(next), [&] { waiting.pop_front(); }).when(!waiting.empty()));
  }
}

/// The primes from 3 on; those found go back to where the composites are made.
stream<int, spsc> odd_primes() {
  return generate<int>(
      [](auto& out) {
        auto found = make_channel<int>(10);
        auto back = make_channel<int>();
        with_task_group([&](task_group& g) {
          g.go([&] { unbounded_proxy(found.rx, back.tx); });
          auto crossed_out = generate<int>([&](auto& c) { composites(c, back.rx); }, {.buffer = 10});
          found.tx.send(3);  // the seeds
          found.tx.send(5);
          found.tx.send(7);
          for (int p : {3, 5, 7}) out.send(p);
          int candidate = 9;
          for (int c : crossed_out) {
            for (; candidate < c; candidate += 2) {
              found.tx.send(candidate);
              out.send(candidate);
            }
            candidate = c + 2;
          }
        });
      },
      {.buffer = 50});
}

TEST_P(pipeline_conformance, pipeline_02_a_sieve_that_feeds_its_primes_back_finds_them_and_unwinds) {
  in_runtime([] {
    const auto before = stats().live_fibers;
    {
      std::vector<int> found = {2};
      for (int p : odd_primes()) {
        if (p > 100) break;
        found.push_back(p);
      }
      EXPECT_EQ(found, (std::vector<int>{2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                                         43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97}));
    }
    EXPECT_EQ(stats().live_fibers, before) << "every producer has ended";
  });
}

TEST_P(pipeline_conformance, pipeline_02_neighbour_cancelling_ends_a_loop_of_stages_that_nobody_leaves) {
  in_runtime([] {
    const auto before = stats().live_fibers;
    auto c = derive_cancel(context::current());
    std::atomic<int> largest{0};
    auto reader = start([&] {
      const context_scope scope(c.ctx);
      for (int p : odd_primes()) {
        largest = p;
        if (p > 200) sleep_for(1h);
      }
    });
    while (largest <= 200) yield();
    c.cancel();
    EXPECT_THROW(reader.join(), canceled);
    while (stats().live_fibers > before) yield();  // the reader's own fiber may be on its way out
  });
}

// ---- 04: power series of polymorphic values --------------------------------------------------------------------

std::atomic<int> live_values{0};
struct value {
  value() { ++live_values; }
  value(const value&) = delete;
  virtual ~value() { --live_values; }
  virtual double get() const = 0;
};
struct whole final : value {
  explicit whole(int v) : n(v) {}
  double get() const override { return n; }
  int n;
};
struct fraction final : value {
  fraction(double a, double b) : above(a), below(b) {}
  double get() const override { return above / below; }
  double above, below;
};
using term = std::unique_ptr<value>;
using series = stream<term, spsc>;

series constant(int v) {
  return generate<term>([v](auto& out) {
    for (;;) out.send(std::make_unique<whole>(v));
  });
}
series add(series a, series b) {
  return generate<term>([a = std::make_shared<series>(std::move(a)), b = std::make_shared<series>(std::move(b))](auto& out) {
    for (;;) {
      const double sum = (*a->receive())->get() + (*b->receive())->get();
      out.send(std::make_unique<fraction>(sum, 1));
    }
  });
}
series integrate(int first, series s) {
  return generate<term>([first, s = std::make_shared<series>(std::move(s))](auto& out) {
    out.send(std::make_unique<whole>(first));
    for (int n = 1;; ++n) out.send(std::make_unique<fraction>((*s->receive())->get(), n));
  });
}

TEST_P(pipeline_conformance, pipeline_04_terms_of_several_types_pass_unsliced_and_are_freed_once) {
  in_runtime([] {
    {
      auto sum = add(constant(1), integrate(5, add(constant(2), constant(4))));  // 1 + (5 + 6x)' integrated: 6, 7, 4, 3, 2.5
      std::vector<double> found;
      for (auto& t : sum) {
        found.push_back(t->get());
        if (found.size() == 5) break;
      }
      EXPECT_EQ(found, (std::vector<double>{6, 7, 4, 3, 2.5}));
    }
    EXPECT_EQ(live_values, 0);
  });
}

TEST_P(pipeline_conformance, pipeline_04_neighbour_what_waits_in_a_pipeline_that_is_left_is_freed_too) {
  in_runtime([] {
    for (auto& t : from(constant(3), {.buffer = 4}) | map([](term v) -> term { return std::make_unique<fraction>(v->get(), 2); }, {.workers = 3}) |
                       filter([](const term& v) { return v->get() == 1.5; }, {.buffer = 2})) {
      EXPECT_EQ(t->get(), 1.5);
      break;
    }
    EXPECT_EQ(live_values, 0);
  });
}

// ---- 06: a failure blocks nobody who submits -------------------------------------------------------------------

TEST_P(pipeline_conformance, pipeline_06_after_the_first_callback_has_thrown_no_submit_hangs) {
  in_runtime([] {
    worker_pool<int> pool([](int v) {
      if (v == 0) throw std::out_of_range("first");
    }, {.workers = 2, .queue = 1, .on_failure = job_failure::stops_the_pool});
    EXPECT_THROW(
        for (int i = 0;; ++i) {
          pool.post(int{i});
          yield();
        },
        pool_stopped)
        << "as soon as the one who has thrown has said so";
    for (int i = 0; i < 100; ++i) EXPECT_THROW(pool.post(int{i}), pool_stopped);
    EXPECT_THROW(pool.drain(), std::out_of_range);
  });
}

TEST_P(pipeline_conformance, pipeline_06_neighbour_a_sender_into_a_failed_pipeline_is_told) {
  in_runtime([] {
    auto ends = make_channel<int>(1);
    std::atomic<int> sent{0};
    auto sender = start([tx = std::make_shared<send_channel<int>>(std::move(ends.tx)), &sent] {
      try {
        for (int i = 0; i < 100; ++i) {
          tx->send(i);
          ++sent;
        }
        ADD_FAILURE() << "nobody received";
      } catch (const channel_closed&) {
      }
    });
    auto p = from(std::move(ends.rx)) | map([](int v) { return v == 3 ? throw std::out_of_range("3") : v; }, {.buffer = 2});
    EXPECT_THROW(p.drain(), std::out_of_range);
    sender.join();
    EXPECT_LT(sent, 100);
  });
}

// ---- 08: more at once than there are workers -------------------------------------------------------------------

TEST_P(pipeline_conformance, pipeline_08_an_explicit_limit_above_the_number_of_workers_is_kept) {
  in_runtime([] {
    const std::size_t n = 2 * stats().workers;
    barrier all(static_cast<std::ptrdiff_t>(n));
    std::size_t met = 0;
    from([i = std::size_t{0}, n]() mutable { return i < n ? std::optional(i++) : std::nullopt; }) | map([&](std::size_t v) {
      all.arrive_and_wait();
      return v;
    }, {.workers = n}) | for_each([&](std::size_t) { ++met; });
    EXPECT_EQ(met, n);
  });
}

TEST_P(pipeline_conformance, pipeline_08_neighbour_a_limit_of_one_is_kept_too) {
  in_runtime([] {
    std::atomic<int> inside{0};
    from(std::vector<int>(100, 1)) | map([&](int v) {
      EXPECT_EQ(++inside, 1);
      yield();
      --inside;
      return v;
    }, {.buffer = 4}) | drain();
  });
}

// ---- 10: values before the failure -----------------------------------------------------------------------------

TEST_P(pipeline_conformance, pipeline_10_what_was_sent_before_a_failure_is_received_before_it) {
  in_runtime([] {
    event failed;
    auto s = generate<int>(
        [&](auto& out) {
          for (int i = 1; i <= 5; ++i) out.send(i);
          failed.set();
          throw std::out_of_range("after 5");
        },
        {.buffer = 100});
    failed.wait();
    for (int i = 1; i <= 5; ++i) EXPECT_EQ(s.receive(), i);
    EXPECT_THROW(s.receive(), std::out_of_range);
  });
}

TEST_P(pipeline_conformance, pipeline_10_neighbour_so_it_is_when_they_were_merged) {
  in_runtime([] {
    auto s = merge({.buffer = 100}, generate<int>([](auto& out) {
                     for (int i = 1; i <= 5; ++i) out.send(i);
                     throw std::out_of_range("after 5");
                   },
                   {.buffer = 100}));
    int seen = 0;
    EXPECT_THROW(
        for (int v : s) EXPECT_EQ(v, ++seen), std::out_of_range);
    EXPECT_EQ(seen, 5);
  });
}

// ---- 14: the rules of a batcher --------------------------------------------------------------------------------

TEST_P(pipeline_conformance, pipeline_14_a_batcher_flushes_by_size_by_age_and_at_close_and_destroys_the_rest_once) {
  in_runtime([] {
    bubble([] {
      const time_point start = steady_clock::now();
      std::vector<std::pair<std::size_t, std::chrono::nanoseconds>> flushed;
      const auto token = std::make_shared<int>(0);
      using batch = std::vector<std::shared_ptr<int>>;
      const auto keep = [&](batch& b) { flushed.emplace_back(b.size(), steady_clock::now() - start); };
      {
        batcher<std::shared_ptr<int>> b(keep, {.size = 10, .age = 50ms});
        for (int i = 0; i < 12; ++i) b.add(token);  // 10 at once, 2 at 50
        sleep_for(100ms);
        b.add(token);
        b.close();
      }
      EXPECT_EQ(flushed, (decltype(flushed){{10, 0ms}, {2, 50ms}, {1, 100ms}}));
      EXPECT_EQ(token.use_count(), 1);
      auto c = derive_cancel(context::current());
      {
        const context_scope scope(c.ctx);
        batcher<std::shared_ptr<int>> b(keep, {.size = 10, .age = 50ms});
        for (int i = 0; i < 5; ++i) b.add(token);
        c.cancel();
      }
      EXPECT_EQ(flushed.size(), 3u);
      EXPECT_EQ(token.use_count(), 1);
    });
  });
}

TEST_P(pipeline_conformance, pipeline_14_neighbour_a_full_batch_stops_the_clock_of_its_first_value) {
  in_runtime([] {
    bubble([] {
      const time_point start = steady_clock::now();
      std::vector<std::pair<std::size_t, std::chrono::nanoseconds>> flushed;
      batcher<int> b([&](std::vector<int>& v) { flushed.emplace_back(v.size(), steady_clock::now() - start); }, {.size = 2, .age = 50ms});
      b.add(1);
      sleep_for(40ms);
      b.add(2);  // full at 40
      b.add(3);  // its own 50 ms from here
      sleep_for(200ms);
      b.close();
      EXPECT_EQ(flushed, (decltype(flushed){{2, 40ms}, {1, 90ms}}));
    });
  });
}

// ---- 16: draining and aborting ---------------------------------------------------------------------------------

TEST_P(pipeline_conformance, pipeline_16_a_drained_pool_runs_all_an_aborted_one_destroys_the_rest_once) {
  in_runtime([] {
    const int n = static_cast<int>(scaled(1'000));
    const auto token = std::make_shared<int>(0);
    std::atomic<int> ran{0}, canceled_while_running{0};
    {
      worker_pool<std::shared_ptr<int>> pool([&](const std::shared_ptr<int>&) { ++ran; }, {.workers = 4, .queue = 1'000});
      for (int i = 0; i < n; ++i) pool.post(token);
      pool.drain();
      EXPECT_EQ(ran, n);
      EXPECT_THROW(pool.post(token), pool_stopped);
    }
    EXPECT_EQ(token.use_count(), 1);
    ran = 0;
    {
      worker_pool<std::shared_ptr<int>> pool([&](const std::shared_ptr<int>&) {
        ++ran;
        try {
          sleep_for(1h);
        } catch (const canceled&) {
          ++canceled_while_running;
          throw;
        }
      }, {.workers = 4, .queue = 1'000});
      for (int i = 0; i < 1'000; ++i) pool.post(token);
      while (ran < 4) yield();
      pool.abort();
      EXPECT_EQ(ran, 4);
      EXPECT_EQ(canceled_while_running, 4);
      EXPECT_EQ(token.use_count(), 1) << "all jobs have been destroyed";
      EXPECT_THROW(static_cast<void>(pool.submit(token)), pool_stopped);
    }
  });
}

TEST_P(pipeline_conformance, pipeline_16_neighbour_a_job_that_submits_while_the_pool_drains_is_refused) {
  in_runtime([] {
    std::atomic<int> refused{0};
    event draining;
    std::function<void()> submit_one;
    worker_pool<int> pool([&](int) {
      draining.wait();
      try {
        submit_one();
      } catch (const pool_stopped&) {
        ++refused;
      }
    }, {.workers = 2, .queue = 2});
    submit_one = [&] { pool.post(1); };
    for (int i = 0; i < 4; ++i) pool.post(int{i});
    auto drainer = start([&] { pool.drain(); });
    EXPECT_THROW(
        for (;;) {
          static_cast<void>(pool.try_post(9));
          yield();
        },
        pool_stopped);
    draining.set();
    drainer.join();
    EXPECT_GE(refused, 4);
  });
}

}  // namespace
}  // namespace runnel::test
