// Behaviours of goroutine schedulers: what a busy worker still looks at, who is served when, who is reported.
#include "conformance/captured_stderr.hpp"
#include "support/fixture.hpp"

#include <runnel/fd.hpp>
#include <runnel/time.hpp>

#include "sched/run_queue.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class tasks_fairness_conformance : public behaviour {};
RUNNEL_EVERY_WIDTH(tasks_fairness_conformance);

/// One worker, the main party being a fiber on it or a thread beside it.
class tasks_on_one_worker : public behaviour {};
INSTANTIATE_TEST_SUITE_P(callers, tasks_on_one_worker, ::testing::Values(one_worker, caller{1, true}),
                         [](const auto& i) { return std::string(i.param.threads ? "thread_beside" : "fiber"); });

// More turns of a yielding fiber than this mean that others were forgotten; the worker looks around every 61.
constexpr long enough_turns = 1000;

// ---- 01: yield -----------------------------------------------------------------------------------------------------

TEST_P(tasks_on_one_worker, tasks_01_yield_looks_at_timers) {
  in_runtime([] {
    const channel<int> c, acknowledged;
    auto poller = go([=] {
      for (;;) {
        if (const auto r = c.try_receive()) return acknowledged.send(*r.value);
        yield();
      }
    });
    sleep_for(10ms);
    c.send(7);
    EXPECT_EQ(acknowledged.receive(), 7);
    poller.get();
  });
}

TEST_P(tasks_on_one_worker, tasks_01_yield_looks_at_the_shared_queue) {
  in_runtime([] {
    std::atomic<long> turns{0};
    std::atomic<bool> over{false};
    auto busy = go([&] {
      while (!over) {
        ++turns;
        yield();
      }
    });
    for (int i = 0; i < 20; ++i) {
      long ran_at = 0;
      auto other = go([&] { ran_at = turns; });  // from a thread it goes into the shared queue
      const long started_at = turns;
      other.get();
      EXPECT_LE(ran_at - started_at, enough_turns);
    }
    over = true;
    busy.get();
  });
}

TEST_P(tasks_on_one_worker, tasks_01_neighbour_yield_looks_at_descriptors) {
  in_runtime([this] {
    std::atomic<long> turns{0};
    std::atomic<bool> over{false};
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    long ran_at = 0;
    auto reader = go([&] {
      wait_readable(ends[0]);
      ran_at = turns;
    });
    until_waiting(1);
    auto busy = go([&] {
      while (!over) {
        ++turns;
        yield();
      }
    });
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    const long written_at = turns;
    reader.get();
    EXPECT_LE(ran_at - written_at, enough_turns);
    over = true;
    busy.get();
    close(ends[0]);
    close(ends[1]);
  });
}

// ---- 03: hogs ------------------------------------------------------------------------------------------------------

/// Hands a flag over and back five times with another fiber, calling `between` in the spin.
void exchange_flag(const std::function<void()>& between) {
  std::atomic<int> flag{0};
  auto other = go([&] {
    for (int i = 0; i < 5; ++i) {
      while (flag != 2 * i + 1) between();
      ++flag;
    }
  });
  for (int i = 0; i < 5; ++i) {
    while (flag != 2 * i) between();
    ++flag;
  }
  other.get();
  EXPECT_EQ(flag, 10);
}

TEST_P(tasks_on_one_worker, tasks_03_with_yield_in_the_spin_the_exchange_completes) {
  in_runtime([] { exchange_flag([] { yield(); }); });
}

TEST_P(tasks_on_one_worker, tasks_03_a_fiber_that_never_yields_is_named) {
  captured_stderr err;
  in_runtime(run_options{.hog_limit = 20ms}, [&] {
    auto hog = go({.name = "monopolist"}, [&] { err.wait_for("\"monopolist\", started at"); });  // ends only by the report
    hog.get();
  });
  EXPECT_EQ(err.count("\"monopolist\""), 1u) << err.text();
  EXPECT_NE(err.text().find("tasks_fairness_conformance_test.cpp"), std::string::npos) << err.text();
}

TEST_P(tasks_on_one_worker, tasks_03_neighbour_with_checkpoint_in_the_spin_the_exchange_completes) {
  in_runtime([] { exchange_flag([] { this_fiber::checkpoint(); }); });
}

TEST_P(tasks_fairness_conformance, tasks_03_neighbour_another_worker_takes_what_a_hog_keeps) {
  if (GetParam().workers == 1) GTEST_SKIP() << "nobody could take it";
  in_runtime([] {
    for (int i = 0; i < 20; ++i) {
      auto hog = go([] {
        std::atomic<bool> ran{false};
        auto successor = go([&] { ran = true; });  // runs next on this worker, which is never given up
        while (!ran) {
        }
        successor.get();
      });
      hog.get();
    }
  });
}

// ---- 05: the run queue ---------------------------------------------------------------------------------------------

using sched::run_queue;

struct fibers_to_queue {
  static constexpr std::uint32_t n = run_queue::capacity;
  std::unique_ptr<sched::fiber[]> all{new sched::fiber[n]};
  std::vector<std::atomic<int>> runs = std::vector<std::atomic<int>>(n);
  void run(sched::fiber* f) { ++runs[static_cast<std::size_t>(f - all.get())]; }
  void expect_each_once(std::uint32_t filled) {
    for (std::uint32_t i = 0; i < n; ++i) EXPECT_EQ(runs[i].exchange(0), i < filled) << "fiber " << i << " of " << filled;
  }
};

TEST(tasks_conformance_run_queue, tasks_05_every_task_runs_once_and_a_steal_takes_half) {
  fibers_to_queue fibers;
  for (std::uint32_t n = 0; n <= run_queue::capacity; ++n) {
    run_queue owner, thief;
    for (std::uint32_t i = 0; i < n; ++i) ASSERT_TRUE(owner.push(&fibers.all[i]));
    std::uint32_t stolen = 0;
    if (sched::fiber* f = thief.steal_from(owner)) {
      fibers.run(f);
      ++stolen;
    }
    while (sched::fiber* f = thief.pop()) {
      fibers.run(f);
      ++stolen;
    }
    EXPECT_EQ(stolen, (n + 1) / 2);
    while (sched::fiber* f = owner.pop()) fibers.run(f);
    fibers.expect_each_once(n);
  }
}

TEST(tasks_conformance_run_queue, tasks_05_every_task_runs_once_with_two_thieves_at_work) {
  fibers_to_queue fibers;
  for (std::size_t round = 0; round < scaled(300); ++round) {
    const auto n = static_cast<std::uint32_t>(round % (run_queue::capacity + 1));
    run_queue owner;
    std::atomic<bool> over{false};
    auto steal = [&] {
      run_queue mine;
      while (!over) {
        for (sched::fiber* f = mine.steal_from(owner); f; f = mine.pop()) fibers.run(f);
      }
    };
    std::thread one(steal), two(steal);
    for (std::uint32_t i = 0; i < n; ++i) {
      ASSERT_TRUE(owner.push(&fibers.all[i]));
      if (i % 3 == 0) {
        if (sched::fiber* f = owner.pop()) fibers.run(f);
      }
    }
    while (sched::fiber* f = owner.pop()) fibers.run(f);
    over = true;
    one.join();
    two.join();
    fibers.expect_each_once(n);
  }
}

TEST(tasks_conformance_run_queue, tasks_05_neighbour_the_successor_is_not_stolen_and_overflow_keeps_the_order) {
  fibers_to_queue fibers;
  run_queue owner, thief;
  EXPECT_EQ(owner.exchange_next(&fibers.all[0]), nullptr);
  EXPECT_EQ(thief.steal_from(owner), nullptr);
  EXPECT_EQ(owner.exchange_next(nullptr), &fibers.all[0]);

  for (std::uint32_t i = 0; i < run_queue::capacity; ++i) ASSERT_TRUE(owner.push(&fibers.all[i]));
  EXPECT_FALSE(owner.push(&fibers.all[0]));
  std::uint32_t n = 0;
  sched::fiber* f = owner.take_half(n);
  EXPECT_EQ(n, run_queue::capacity / 2);
  std::uint32_t i = 0;
  for (; f; f = f->next) EXPECT_EQ(f, &fibers.all[i++]);
  EXPECT_EQ(i, n);
  while ((f = owner.pop())) EXPECT_EQ(f, &fibers.all[i++]);
  EXPECT_EQ(i, run_queue::capacity);
}

// ---- 07: system calls in a loop ------------------------------------------------------------------------------------

TEST_P(tasks_on_one_worker, tasks_07_run_returns_though_two_fibers_make_system_calls_in_a_loop) {
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  std::atomic<long> written[2]{};
  std::atomic<int> canceled_ones{0};
  in_runtime([&] {
    auto loop = [&](int i) {
      return [&, i] {
        try {
          for (;; this_fiber::checkpoint()) written[i] += write(null, "x", 1);
        } catch (const canceled&) {
          ++canceled_ones;
          throw;
        }
      };
    };
    auto one = go(loop(0)), two = go(loop(1));
    sleep_for(10ms);
  });
  EXPECT_EQ(canceled_ones, 2);
  EXPECT_GT(written[0], 0);
  EXPECT_GT(written[1], 0);
  close(null);
}

TEST_P(tasks_on_one_worker, tasks_07_neighbour_run_ends_detached_fibers_that_yield_in_a_loop) {
  std::atomic<int> canceled_ones{0};
  in_runtime([&] {
    for (int i = 0; i < 2; ++i)
      go_detached([&] {
        try {
          for (;;) yield();
        } catch (const canceled&) {
          ++canceled_ones;
          throw;
        }
      });
    sleep_for(1ms);
  });
  EXPECT_EQ(canceled_ones, 2);
}

// ---- 15: long chains of wake-ups -----------------------------------------------------------------------------------

TEST_P(tasks_fairness_conformance, tasks_15_ten_thousand_wake_ups_do_not_nest) {
  in_runtime([this] {
    const std::size_t n = scaled(10000);
    mutex m;
    std::size_t entered = 0;
    std::atomic<int> unlocking{0};
    std::atomic<int> deepest{0};
    auto unlock = [&] {
      const int depth = ++unlocking;
      for (int seen = deepest; seen < depth && !deepest.compare_exchange_weak(seen, depth);) {
      }
      m.unlock();
      --unlocking;
    };
    m.lock();
    std::vector<task<void>> queued;
    for (std::size_t i = 0; i < n; ++i)
      queued.push_back(go({.stack = stack_class::small}, [&] {
        m.lock();
        ++entered;
        unlock();
      }));
    until_waiting(n);
    unlock();
    for (auto& t : queued) t.get();
    EXPECT_EQ(entered, n);
    EXPECT_LE(deepest, static_cast<int>(GetParam().workers)) << "a waiter ran on the stack of the one who woke it";
  });
}

TEST_P(tasks_fairness_conformance, tasks_15_neighbour_ten_thousand_receivers_see_one_close) {
  in_runtime([this] {
    const std::size_t n = scaled(10000);
    const channel<int> c;
    std::atomic<std::size_t> ended{0};
    std::vector<task<void>> receivers;
    for (std::size_t i = 0; i < n; ++i)
      receivers.push_back(go({.stack = stack_class::small}, [&] { ended += !c.receive(); }));
    until_waiting(n);
    auto closer = go({.stack = stack_class::small}, [&] { EXPECT_TRUE(c.close()); });
    for (auto& t : receivers) t.get();
    EXPECT_EQ(ended, n);
  });
}

// ---- 19: turns -----------------------------------------------------------------------------------------------------

/// Who came in which order: turns on one worker order the additions, but nobody promises that they happen before one
/// another. To be looked at when all have been joined.
template <class T>
class record {
 public:
  explicit record(std::size_t most) : all_(most) {}
  void add(T v) { all_.at(size_++) = v; }
  std::size_t size() const { return size_; }
  const std::vector<T>& all() const { return all_; }

 private:
  std::vector<T> all_;
  std::atomic<std::size_t> size_{0};
};

TEST_P(tasks_on_one_worker, tasks_19_ten_thousand_fibers_take_turns) {
  if (from_threads()) GTEST_SKIP() << "the fibers would start while they are made";
  in_runtime([] {
    const std::size_t n = scaled(10000);
    constexpr std::size_t rounds = 4;
    record<std::size_t> turns(n * rounds);
    std::vector<task<void>> fibers;
    fibers.reserve(n);
    for (std::size_t i = 0; i < n; ++i)
      fibers.push_back(go([&] {
        for (std::size_t r = 0; r < rounds; ++r) {
          turns.add(r);
          yield();
        }
      }));
    EXPECT_EQ(turns.size(), 0u);
    for (auto& t : fibers) t.get();
    ASSERT_EQ(turns.size(), n * rounds);
    for (std::size_t r = 0; r < rounds; ++r) {
      const auto first = turns.all().begin() + static_cast<std::ptrdiff_t>(r * n);
      const auto out_of_turn = std::count_if(first, first + static_cast<std::ptrdiff_t>(n), [=](auto v) { return v != r; });
      EXPECT_LE(out_of_turn, 1) << "in round " << r;
    }
  });
}

TEST_P(tasks_on_one_worker, tasks_19_neighbour_those_woken_together_run_in_the_order_of_their_waiting) {
  if (from_threads()) GTEST_SKIP() << "the fibers would start while they are made";
  in_runtime([this] {
    constexpr std::size_t n = 100;
    const channel<int> c;
    record<std::size_t> waited(n), woken(n);
    std::vector<task<void>> fibers;
    for (std::size_t i = 0; i < n; ++i)
      fibers.push_back(go([&, i] {
        waited.add(i);
        c.receive();
        woken.add(i);
      }));
    until_waiting(n);
    c.close();
    for (auto& t : fibers) t.get();
    EXPECT_EQ(woken.size(), n);
    EXPECT_EQ(waited.all(), woken.all());
  });
}

}  // namespace
}  // namespace runnel::test
