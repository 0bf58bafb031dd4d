// Streams, pipelines, worker pools and batchers, in many orders of events, with failures and cancellations at any point: nothing is
// lost, nothing comes twice, order is kept, nothing is left.
#include "explored.hpp"

#include <runnel/patterns/batcher.hpp>
#include <runnel/patterns/fan_out.hpp>
#include <runnel/patterns/generate.hpp>
#include <runnel/patterns/merge.hpp>
#include <runnel/patterns/pipeline.hpp>
#include <runnel/patterns/tee.hpp>
#include <runnel/patterns/worker_pool.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/shared_var.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

namespace runnel::test {
namespace {

int chosen(std::uint32_t n) { return static_cast<int>(testing::choose(n)); }

/// A value that is somewhere exactly once.
struct token {
  explicit token(std::atomic<int>& n, int v) : live(&n), value(v) { ++n; }
  token(token&& o) noexcept : live(std::exchange(o.live, nullptr)), value(o.value) {}
  token& operator=(token&& o) noexcept {
    std::swap(live, o.live);
    value = o.value;
    return *this;
  }
  ~token() {
    if (live) --*live;
  }
  std::atomic<int>* live;
  int value;
};

template <class Options>
Options random_options() {
  Options o;
  if (chosen(2)) o.buffer = static_cast<std::size_t>(chosen(3));
  return o;
}
stage_options random_stage() {
  auto o = random_options<stage_options>();
  o.workers = static_cast<std::size_t>(1 + chosen(3));
  return o;
}

TEST(explored_pipelines, ordered_stages_keep_everything_in_order_whatever_runs_where) {
  holds_in(3'000, [] {
    std::atomic<int> live{0};
    {
      auto p = from([&live, i = 0]() mutable { return i < 5 ? std::optional(token(live, i++)) : std::nullopt; },
                    random_options<serial_options>()) |
               map([](token t) {
                 if (chosen(2)) yield();
                 return t;
               }, random_stage()) |
               filter([](const token& t) { return t.value != 2; }, random_stage());
      std::vector<int> seen;
      for (auto& t : p) seen.push_back(t.value);
      require(seen == std::vector<int>{0, 1, 3, 4}, "lost, twice or out of order");
    }
    require(live == 0, "a value is left");
  });
}

TEST(explored_pipelines, as_ready_brings_everything_once) {
  holds_in(2'000, [] {
    auto p = from(std::vector<int>{0, 1, 2, 3, 4}) | map([](int v) { return yield(), v; }, {.workers = 3, .buffer = 1, .order = stage_order::as_ready}) |
             batch(2, std::chrono::milliseconds(1));
    std::vector<int> seen;
    for (auto& b : p) seen.insert(seen.end(), b.begin(), b.end());
    std::sort(seen.begin(), seen.end());
    require(seen == std::vector<int>{0, 1, 2, 3, 4}, "lost or twice");
  });
}

TEST(explored_pipelines, a_failure_or_a_cancellation_at_any_point_comes_out_once_and_leaves_nothing) {
  holds_in(4'000, [] {
    std::atomic<int> live{0}, thrown{0};
    // Who leaves early does not see a failure, which would be reported: there only the consumer fails.
    const int leaves_after = chosen(2) ? 1 + chosen(4) : 99;
    const int fails_at = leaves_after < 99 ? 3 : chosen(4);
    auto c = derive_cancel(context::current());
    with_task_group([&](task_group& g) {
      g.go([&, cancels = chosen(2)] {
        if (cancels) c.cancel();
      });
      const context_scope scope(c.ctx);
      const auto fail = [&](int stage) {
        if (stage == fails_at && chosen(3) == 0) {
          ++thrown;
          throw stage;
        }
      };
      auto p = from([&, i = 0]() mutable {
                 fail(0);
                 return i < 4 ? std::optional(token(live, i++)) : std::nullopt;
               }, random_options<serial_options>()) |
               map([&](token t) { return fail(1), std::move(t); }, random_stage()) |
               map([&](token t) { return fail(2), std::move(t); }, random_options<stage_options>());
      int seen = 0;
      try {
        for (auto& t : p) {
          require(t.value == seen++, "out of order");
          fail(3);
          if (seen == leaves_after) break;
        }
        require(seen == 4 || seen == leaves_after, "an end that is none");
      } catch (int stage) {
        require(stage == fails_at, "another stage");
        require(stage == 3 || (p.failed_stage() && p.failed_stage()->number == static_cast<unsigned>(stage)), "not said where");
      } catch (const canceled&) {
        require(!p.failed_stage() || thrown > 0, "a cancellation is no failure");
      }
    });
    require(live == 0, "a value is left");
  });
}

TEST(explored_pipelines, streams_bring_everything_and_end_with_whoever_leaves) {
  holds_in(3'000, [] {
    const auto part = [](int first) {
      return generate<int>(
          [first](auto& out) {
            for (int i = 0; i < 3; ++i) out.send(first + i);
          },
          {.buffer = 1});
    };
    auto both = tee(merge({.buffer = 1}, part(0), part(10)), {.buffer = 1});
    std::vector<int> all;
    with_task_group([&](task_group& g) {
      g.go([s = std::make_shared<stream<int, spsc>>(std::move(both[1])), leaves = chosen(3)] {
        int seen = 0;
        for ([[maybe_unused]] int v : *s)
          if (++seen == leaves) break;
      });
      for (int v : fan_out(std::move(both[0]), 2, [](int v) { return v; }, {.buffer = 1})) all.push_back(v);
    });
    std::sort(all.begin(), all.end());
    require(all == std::vector<int>{0, 1, 2, 10, 11, 12}, "lost or twice");
  });
}

TEST(explored_pipelines, a_function_that_threw_is_not_asked_again) {
  holds_in(1'000, [] {
    std::atomic<int> calls{0};
    auto s = fan_out(
        [&]() -> std::optional<int> {
          ++calls;
          throw std::out_of_range("page 1");
        },
        2, [](int v) { return v; });
    try {
      static_cast<void>(s.receive());
      require(false, "the failure is lost");
    } catch (const std::out_of_range&) {
    }
    require(calls == 1, "asked again");
  });
}

TEST(explored_pipelines, every_job_of_a_pool_runs_once_or_is_destroyed_unrun) {
  holds_in(4'000, [] {
    std::atomic<int> live{0}, ran{0}, accepted{0}, refused{0}, gone{0};
    {
      worker_pool<token, int> pool([&](token t) {
        ++ran;
        if (chosen(2)) yield();
        if (t.value == 2 && chosen(2)) throw 2;
        return t.value;
      }, {.workers = 2, .queue = 1});
      with_task_group([&](task_group& g) {
        for (int n = 0; n < 2; ++n)
          g.go([&, n] {
            for (int i = 0; i < 2; ++i) {
              try {
                auto j = pool.submit(token(live, 2 * n + i));
                ++accepted;
                if (2 * n + i != 2 && chosen(3) == 0) continue;  // dropped
                require(j.get() == 2 * n + i, "another job's result");
              } catch (const pool_stopped&) {
                ++refused;
              } catch (const task_canceled&) {
                ++gone;
              } catch (int e) {
                require(e == 2, "another job's failure");
              }
            }
          });
        g.go([&] {
          const int how = chosen(4);
          try {
            if (how == 0) pool.drain();
            if (how == 1) pool.abort();
            if (how == 2) pool.resize(1), pool.resize(3);
          } catch (const pool_stopped&) {
          }
        });
      });
      pool.abort();
    }
    require(live == 0, "an input is left");
    require(ran <= accepted && accepted + refused == 4, "lost or twice");
  });
}

TEST(explored_pipelines, a_batcher_flushes_everything_once_in_order_or_hands_it_back) {
  holds_in(4'000, [] {
    std::atomic<int> live{0};
    std::vector<int> flushed, back;
    int added = 0;
    {
      batcher<token> b([&](std::vector<token>& batch) {
        if (chosen(4) == 0) throw 1;
        yield();
        for (token& t : batch) flushed.push_back(t.value);
      }, {.size = 2, .age = std::chrono::milliseconds(chosen(2)), .waiting = 1});
      with_task_group([&](task_group& g) {
        g.go([&] {
          try {
            for (int i = 0; i < 4; ++i) {
              b.add(token(live, i));
              ++added;
            }
          } catch (const batch_failed<token>&) {
          }
        });
        g.go([&] {
          try {
            b.flush();
          } catch (const batch_failed<token>&) {
          }
        });
      });
      try {
        b.close();
      } catch (const batch_failed<token>& e) {
        for (token& t : e.items()) back.push_back(t.value);
      }
    }
    flushed.insert(flushed.end(), back.begin(), back.end());
    require(static_cast<int>(flushed.size()) == added, "lost or twice");
    require(std::is_sorted(flushed.begin(), flushed.end()), "out of order");
    require(live == 0, "a value is left");
  });
}

}  // namespace
}  // namespace runnel::test
