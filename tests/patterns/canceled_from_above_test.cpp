// What was made under a context is canceled at every instant of its work, while others, whom nobody cancels, wait for
// it: whatever they wait for ends, in virtual time and without a deadlock.
#include "support/fixture.hpp"

#include <runnel/patterns/actor.hpp>
#include <runnel/patterns/batcher.hpp>
#include <runnel/patterns/cache.hpp>
#include <runnel/patterns/fan_out.hpp>
#include <runnel/patterns/generate.hpp>
#include <runnel/patterns/merge.hpp>
#include <runnel/patterns/pipeline.hpp>
#include <runnel/patterns/rate_limiter.hpp>
#include <runnel/patterns/serve.hpp>
#include <runnel/patterns/single_flight.hpp>
#include <runnel/patterns/tee.hpp>
#include <runnel/patterns/worker_pool.hpp>
#include <runnel/sync/concurrent_map.hpp>
#include <runnel/sync/lazy.hpp>
#include <runnel/testing/bubble.hpp>

#include <atomic>
#include <memory>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class canceled_from_above : public behaviour {
 protected:
  /// Runs f(above) again and again, with `above` canceled half a millisecond later each time.
  void at_every_instant(const std::function<void(const context& above)>& f) {
    in_runtime([&] {
      for (int n = 0; n <= 20; ++n)
        bubble([&] {
          auto above = derive_cancel(context::current());
          const auto cancels = go([&] { sleep_for(n * 500us), above.cancel(); });
          f(above.ctx);
        });
    });
  }
};
RUNNEL_EVERY_CALLER(canceled_from_above);

/// What f makes under the context.
template <class F>
auto under(const context& ctx, F&& f) {
  const context_scope scope(ctx);
  return f();
}
/// Whether f returns.
template <class F>
bool succeeds(F&& f) {
  try {
    f();
    return true;
  } catch (const std::exception&) {
    return false;  // told that nothing comes
  }
}

TEST_P(canceled_from_above, a_worker_pool) {
  at_every_instant([](const context& above) {
    const auto work = [](int v) { return sleep_for(2ms), v; };
    const auto pool = under(above, [&] {
      return std::make_unique<worker_pool<int, int>>(work, worker_pool_options{.workers = 2, .queue = 1, .results = 0});
    });
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 4; ++i) {
        g.go([&, i] { succeeds([&] { EXPECT_EQ(pool->submit(i).get(), i); }); });
        g.go([&, i] { succeeds([&] { pool->post(i); }); });
      }
      g.go([&] {
        while (pool->results().receive()) sleep_for(1ms);
      });
      g.go([&] {
        sleep_for(5ms);
        succeeds([&] { pool->drain(); });
      });
    });
  });
}

struct question {
  reply<int> answer;
};

TEST_P(canceled_from_above, an_actor) {
  at_every_instant([](const context& above) {
    const auto a = under(above, [] {
      return std::make_unique<actor<question>>(actor_options{.mailbox = 1}, [] {
        return [](question q) { sleep_for(2ms), q.answer(1); };
      });
    });
    with_task_group([&](task_group& g) {
      const auto ask = [](reply<int> r) { return question{std::move(r)}; };
      for (int i = 0; i < 4; ++i) g.go([&] { succeeds([&] { EXPECT_EQ(a->ask<int>(ask), 1); }); });
      g.go([&] {
        sleep_for(5ms);
        a->stop();
        succeeds([&] { a->join(); });
      });
    });
  });
}

TEST_P(canceled_from_above, a_batcher) {
  at_every_instant([](const context& above) {
    const auto b = under(above, [] {
      return std::make_unique<batcher<int>>([](std::vector<int>&) { sleep_for(2ms); },
                                            batcher_options<int>{.size = 2, .age = 1ms, .waiting = 1});
    });
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 4; ++i) {
        g.go([&, i] { succeeds([&] { b->add(i); }); });
        g.go([&] { succeeds([&] { b->flush(); }); });
      }
      g.go([&] {
        sleep_for(5ms);
        succeeds([&] { b->close(); });
      });
    });
  });
}

TEST_P(canceled_from_above, streams) {
  at_every_instant([](const context& above) {
    auto branches = under(above, [] {
      const auto numbers = [] {
        return generate<int>([](auto& out) {
          for (int i = 0; i < 3; ++i) sleep_for(1ms), out.send(i);
        });
      };
      return tee(fan_out(merge(numbers(), numbers()), 2, [](int v) { return sleep_for(1ms), v; }), 2);
    });
    with_task_group([&](task_group& g) {
      for (auto& b : branches)
        g.go([&] {
          succeeds([&] {
            while (b.receive()) sleep_for(500us);
          });
        });
    });
  });
}

TEST_P(canceled_from_above, a_pipeline_and_a_server_leave_those_who_send) {
  const auto send_five = [](const channel<int>& to) {
    for (int i = 0; i < 5 && to.send_for(i, 3ms) == channel_status::ok; ++i) {
    }
    to.close();
  };
  at_every_instant([&](const context& above) {
    const channel<int> in(1);
    with_task_group([&](task_group& g) {
      g.go([&] { send_five(in); });
      g.go([&] {
        succeeds([&] {
          const context_scope scope(above);
          const auto work = [](int v) { return sleep_for(1ms), v; };
          from(in) | map(work, {.workers = 2}) | batch(2, 1ms) | for_each([](const auto&) { sleep_for(1ms); });
        });
      });
    });
  });
  at_every_instant([&](const context& above) {
    const channel<int> in(1);
    auto server = under(above, [&] { return serve(in, [](int) { sleep_for(2ms); }, {.limit = 2}); });
    with_task_group([&](task_group& g) {
      g.go([&] { send_five(in); });
      g.go([&] { succeeds([&] { server.wait(); }); });
    });
  });
}

TEST_P(canceled_from_above, one_of_those_who_make_a_value_leaves_it_to_the_others) {
  at_every_instant([](const context& above) {
    const auto one = [] { return sleep_for(2ms), 1; };
    single_flight<int, int> flights;
    lazy<int> value(one);
    concurrent_map<int, int> map;
    cache<int, int> kept({.ttl = 1ms, .stale_for = 2ms}, [&](int) { return one(); });
    const auto all = [&] {
      EXPECT_EQ(flights.run(1, one), 1);
      EXPECT_EQ(value.get(), 1);
      EXPECT_EQ(map.get_or_create(1, one), 1);
      for (int i = 0; i < 3; ++i) EXPECT_EQ(kept.get(1), 1), sleep_for(1ms);
    };
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 2; ++i) {
        g.go([&] { succeeds([&] { under(above, [&] { return all(), 0; }); }); });
        g.go([&] { EXPECT_TRUE(succeeds(all)); });
      }
    });
  });
}

TEST_P(canceled_from_above, one_of_those_who_wait_for_tokens_has_never_come) {
  at_every_instant([](const context& above) {
    rate_limiter limiter(rate::every(1ms), 2);
    const time_point start = steady_clock::now();
    std::atomic<int> taken{0};
    std::atomic<time_point> last;
    const auto take = [&](const auto& wait) {
      if (!succeeds(wait)) return false;
      taken += 2;
      last = steady_clock::now();  // two never succeed at the same instant
      return true;
    };
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 4; ++i) {
        g.go([&] { take([&] { limiter.wait(above, 2); }); });
        g.go([&] { EXPECT_TRUE(take([&] { limiter.wait(2); })); });
      }
    });
    EXPECT_EQ(last.load() - start, (taken - 2) * 1ms);
  });
}

}  // namespace
}  // namespace runnel::test
