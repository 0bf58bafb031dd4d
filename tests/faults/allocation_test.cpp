// Every operation that allocates, with its first, second, third ... allocation failing, until none fails: std::bad_alloc
// comes out, nothing is left behind, and the same operation works again.
#include "support/failing_allocation.hpp"
#include "support/fixture.hpp"

#include <runnel/sched/frame.hpp>

#include <runnel/fiber_local.hpp>
#include <runnel/signal.hpp>
#include <runnel/testing/leak_check.hpp>
#include <runnel/time.hpp>

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <stop_token>
#include <string>
#include <utility>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

/// A task's memory is given back by its worker, a moment after its end was told; that of the run before, too.
void expect_nothing_left(std::int64_t before) {
  for (int i = 0; i < 100000 && live_allocations() > before; ++i) {
    const cancel_shield shield;
    sleep_for(100us);
  }
  EXPECT_LE(live_allocations() - before, 0) << "blocks of memory are left";
}

/// Runs body until no allocation fails; returns how many of its runs failed.
template <class Body, class Check>
int with_each_failing(Body body, Check check) {
  for (int k = 1; k < 1000; ++k) {
    const std::int64_t before = live_allocations();
    bool thrown = false;
    fail_allocation(k);
    try {
      body();
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    const bool failed = stop_failing();
    EXPECT_EQ(thrown, failed) << "allocation " << k;
    check(before);
    if (!failed || ::testing::Test::HasFailure()) return k - 1;
  }
  ADD_FAILURE() << "it goes on allocating";
  return 0;
}

class allocation_faults : public behaviour {
 protected:
  /// In the runtime; at least `fewest` allocations must have been there to fail, where those of tasks and contexts are.
  void fail_each(int fewest, const std::function<void()>& body) {
    if (sched::pools_frames()) fewest = 0;  // what is pooled does not come here; the sanitizer's build has no pool
    in_runtime([&] {
      body();  // what is made once and kept
      // Twice: what the run before gave back late may have hidden a block that the first failure left.
      EXPECT_GE(with_each_failing(body, expect_nothing_left), fewest);
      EXPECT_GE(with_each_failing(body, expect_nothing_left), fewest);
    });
  }
};
RUNNEL_EVERY_CALLER(allocation_faults);

TEST_P(allocation_faults, a_channel_made_filled_and_emptied) {
  fail_each(3, [] {
    constexpr int n = 600;  // more than a segment of the buffer
    auto [tx, rx] = make_channel<std::string>(1000);
    int sent = 0;
    try {
      for (; sent < n; ++sent) tx.send("a text that does not fit into the string itself " + std::to_string(sent));
    } catch (const std::bad_alloc&) {
      EXPECT_EQ(rx.size(), static_cast<std::size_t>(sent)) << "a send that failed has sent nothing";
      throw;
    }
    EXPECT_EQ(tx.try_send("another text that does not fit into the string"), channel_status::ok);
    tx.close();
    for (int i = 0; i < n; ++i) EXPECT_EQ(rx.receive()->substr(0, 6), "a text");
    EXPECT_EQ(rx.receive()->substr(0, 7), "another");
    EXPECT_FALSE(rx.receive());
  });
}

TEST_P(allocation_faults, a_value_handed_from_one_to_the_other) {
  fail_each(2, [] {
    auto [tx, rx] = make_channel<int>();
    auto sender = go([tx = std::move(tx)] {
      tx.send(1);
      tx.send(2);
    });
    EXPECT_EQ(rx.receive(), 1);
    EXPECT_EQ(rx.receive(), 2);
    sender.get();
  });
}

TEST_P(allocation_faults, go_destroys_the_callable) {
  fail_each(2, [] {
    auto captured = std::make_shared<int>(1);
    const std::weak_ptr<int> watch = captured;
    try {
      auto t = go({.name = "a task"}, [p = std::move(captured)] { return *p + std::stoi(std::string(40, '0') + "1"); });
      EXPECT_EQ(t.get(), 2);
    } catch (const std::bad_alloc&) {
      EXPECT_TRUE(watch.expired());
      throw;
    }
    EXPECT_TRUE(watch.expired());
  });
}

TEST_P(allocation_faults, go_detached) {
  fail_each(2, [] {
    const std::int64_t before = live_allocations();
    {
      const channel<int> over(1);
      go_detached([over = channel<int>(over)] { over.send(1); });
      EXPECT_EQ(over.receive(), 1);
    }
    expect_nothing_left(before);  // nobody joins it
  });
}

TEST_P(allocation_faults, a_task_group_joins_what_it_has_started) {
  fail_each(4, [] {
    std::atomic<int> started{0}, ended{0};
    const auto child = [&] {
      ++started;
      try {
        sleep_for(1us);
      } catch (const canceled&) {
        // the group is being left
      }
      ++ended;
    };
    try {
      with_task_group({.limit = 2, .name = "a name that does not fit into the string"}, [&](task_group& g) {
        for (int i = 0; i < 4; ++i) g.go(child);
      });
    } catch (...) {
      EXPECT_EQ(started, ended);
      throw;
    }
    EXPECT_EQ(ended, 4);
  });
}

TEST_P(allocation_faults, the_failures_of_a_group) {
  fail_each(4, [] {
    std::size_t failures = 0;
    try {
      with_task_group({.on_failure = failure_policy::collect_all}, [&](task_group& g) {
        for (int i = 0; i < 3; ++i) g.go([] { throw 1; });
        throw 2;
      });
    } catch (const task_group_error& e) {
      failures = e.errors().size();
      for (const auto& one : e.errors()) {
        try {
          std::rethrow_exception(one);
        } catch (int) {
          // as it was thrown
        }
      }
    }
    EXPECT_EQ(failures, 4u);
  });
}

template <std::size_t... I>
std::size_t select_of(std::array<channel<int>, sizeof...(I)>& c, std::index_sequence<I...>) {
  return select(on_receive(c[I])...);
}

TEST_P(allocation_faults, a_select_over_many_channels) {
  fail_each(20, [] {
    std::array<channel<int>, 20> channels;
    for (auto& c : channels) c = channel<int>(1);
    channels[17].send(1);
    EXPECT_EQ(select_of(channels, std::make_index_sequence<20>()), 17u);
    channels[3].send(1);
    selector s;
    for (auto& c : channels) s.add(on_receive(c));
    EXPECT_EQ(s.run(), 3u);
    auto sender = go([&] { channels[19].send(1); });
    EXPECT_EQ(s.run(), 19u);
    sender.get();
    s.add(on_timeout(1us));
    EXPECT_EQ(s.run(), 20u);
  });
}

TEST_P(allocation_faults, contexts_and_time_limits) {
  static const context_key<std::string> key;
  fail_each(6, [] {
    const context base = derive_value(context::current(), key, std::string("a text that does not fit into the string"));
    auto [ctx, cancel] = derive_cancel(base);
    const derived_context limited = derive_timeout(ctx, 1h, std::make_exception_ptr(1));
    EXPECT_EQ(limited.ctx.value(key)->substr(0, 6), "a text");
    const std::stop_token token = ctx.stop_token();
    std::stop_source source;
    const context stoppable = from_stop_token(base, source.get_token());
    const context free = without_cancel(limited.ctx);
    with_timeout(1h, [&] {
      auto t = go([] { return 1; });
      EXPECT_EQ(t.get(), 1);
    });
    try {
      with_timeout(1us, [] { sleep_for(1h); });
      ADD_FAILURE() << "the limit did not count";
    } catch (const deadline_exceeded&) {
      // as it should
    }
    cancel();
    EXPECT_TRUE(limited.ctx.is_canceled() && !free.is_canceled());
    while (!token.stop_requested()) yield();
    source.request_stop();
    EXPECT_TRUE(stoppable.is_canceled());
  });
}

TEST_P(allocation_faults, after_func) {
  fail_each(4, [] {
    auto [ctx, cancel] = derive_cancel(context::current());
    const channel<int> ran(1);
    const after_func_handle h = after_func(ctx, [&] { ran.send(1); });
    after_func_handle stopped = after_func(ctx, [] { ADD_FAILURE(); });
    EXPECT_TRUE(stopped.stop());
    cancel();
    EXPECT_EQ(ran.receive(), 1);
  });
}

TEST_P(allocation_faults, timers_and_tickers) {
  fail_each(4, [] {
    timer t(1h);
    EXPECT_TRUE(t.reset(1us));
    t.receive();
    const ticker often(1us);
    often.receive();
    after(1us).receive();
    EXPECT_EQ(select(on_receive(often), on_receive(after(1h))), 0u);
  });
}

TEST_P(allocation_faults, blocking_calls) {
  fail_each(1, [] {
    EXPECT_EQ(blocking([] { return std::string(100, 'a').size(); }), 100u);
    EXPECT_EQ(blocking([](std::stop_token s) { return s.stop_possible(); }), true);
  });
}

TEST_P(allocation_faults, signal_channels) {
  fail_each(2, [] {
    const signal_channel signals({SIGUSR1});
    kill(getpid(), SIGUSR1);  // to the process: the thread of a fiber takes none
    EXPECT_EQ(signals.receive(), SIGUSR1);
  });
}

TEST_P(allocation_faults, wait_groups_and_fiber_locals) {
  static const fiber_local<std::string> local(+[] { return std::string(100, 'a'); });
  fail_each(3, [] {
    wait_group all;
    std::atomic<std::size_t> sum{0};
    try {
      for (int i = 0; i < 3; ++i) {
        all.go([&] {
          try {
            sum += local->size();
          } catch (const std::bad_alloc&) {
            sum += 1000;
          }
        });
      }
    } catch (...) {
      all.wait();
      throw;
    }
    all.wait();
    if (sum >= 1000) throw std::bad_alloc();
    EXPECT_EQ(sum, 300u);
  });
}

TEST_P(allocation_faults, a_leak_check_sees_nothing_left) {
  fail_each(1, [] {
    const leak_check nothing_left([](const std::string& report) { ADD_FAILURE() << report; });
    auto t = go([] { yield(); });
    t.get();
  });
}

// ---- run itself --------------------------------------------------------------------------------------------------

void run_with_everything() {
  const int r = run({.workers = 3, .signals = {SIGUSR2}, .on_deadlock = [](std::string_view) {}}, [] {
    go_detached([] {
      try {
        sleep_for(1h);
      } catch (const canceled&) {
        // at the end of run()
      }
    });
    return 7;
  });
  EXPECT_EQ(r, 7);
}

TEST(run_allocation_faults, run_starts_everything_or_nothing) {
  const hang_guard guard("run_allocation_faults");
  run_with_everything();
  const int failures = with_each_failing(run_with_everything, [](std::int64_t before) {
    EXPECT_EQ(stats().workers, 0u);
    EXPECT_EQ(stats().live_fibers, 0u);
    EXPECT_EQ(live_allocations(), before);
  });
  EXPECT_GE(failures, 8) << "root, its watch, the handlers, workers and threads";
}

class first_run_death_test : public ::testing::Test {
 protected:
  first_run_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(first_run_death_test, what_is_made_once_may_fail_too) {
  EXPECT_EXIT(
      {
        const int failures = with_each_failing(run_with_everything, [](std::int64_t) {});
        std::exit(failures >= 8 && !HasFailure() ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "^$");
}

}  // namespace
}  // namespace runnel::test
