// worker_pool: every job runs once or is destroyed unrun, its end has the rule that was asked for, and nothing is left.
#include "../support/fixture.hpp"
#include "../support/failing_allocation.hpp"

#include <runnel/debug/dump_fibers.hpp>
#include <runnel/patterns/worker_pool.hpp>
#include <runnel/sync/barrier.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/testing/bubble.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <stdexcept>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class worker_pools : public behaviour {};
RUNNEL_EVERY_CALLER(worker_pools);

/// An input that counts those that live.
struct counted {
  explicit counted(std::atomic<int>& n, int v = 0) : live(&n), value(v) { ++n; }
  counted(counted&& o) noexcept : live(std::exchange(o.live, nullptr)), value(o.value) {}
  counted& operator=(counted&& o) noexcept {
    std::swap(live, o.live);
    value = o.value;
    return *this;
  }
  ~counted() {
    if (live) --*live;
  }
  std::atomic<int>* live;
  int value;
};

std::atomic<int> unhandled{0};
void count_unhandled(std::exception_ptr, fiber_info) noexcept { ++unhandled; }
struct hook {
  unhandled_hook previous = (unhandled = 0, set_unhandled_hook(&count_unhandled));
  ~hook() { set_unhandled_hook(previous); }
};

TEST_P(worker_pools, a_handle_brings_the_result_or_the_exception_of_its_job) {
  in_runtime([] {
    worker_pool<int, std::unique_ptr<int>> pool([keep = std::make_unique<int>(1)](int v) {
      if (v == 3) throw std::out_of_range("3");
      return std::make_unique<int>(v + *keep);
    });
    std::vector<job<std::unique_ptr<int>>> jobs;
    for (int i = 0; i < 10; ++i) jobs.push_back(pool.submit(i));
    for (int i = 0; i < 10; ++i) {
      auto& j = jobs[static_cast<std::size_t>(i)];
      if (i == 3) {
        EXPECT_THROW(j.get(), std::out_of_range);
      } else {
        EXPECT_EQ(*j.get(), i + 1);
      }
      EXPECT_TRUE(j.done());
      EXPECT_THROW(j.get(), misuse) << "once";
    }
    auto moved = std::move(jobs[0]);
    EXPECT_THROW(jobs[0].get(), misuse);
    pool.drain();
  });
}

TEST_P(worker_pools, inputs_and_results_have_to_be_movable_not_assignable) {
  in_runtime([] {
    struct fixed {
      const int n;
    };
    worker_pool<fixed, fixed> pool([](fixed f) { return fixed{f.n + 1}; });
    EXPECT_EQ(pool.submit({1}).get().n, 2);
    pool.post({2});
    EXPECT_EQ(pool.results().receive()->n, 3);
    event go_on;
    worker_pool<fixed> busy([&](fixed) { go_on.wait(); }, {.workers = 1, .queue = 1});
    fixed given{7};
    while (busy.try_post(std::move(given))) {
    }
    EXPECT_EQ(given.n, 7) << "what was not taken is still there";
    go_on.set();
  });
}

TEST_P(worker_pools, so_many_jobs_run_at_once_and_so_many_wait) {
  in_runtime([this] {
    event go_on;
    std::atomic<int> inside{0};
    worker_pool<int> pool([&](int) {
      ++inside;
      go_on.wait();
    }, {.workers = 3, .queue = 2, .name = "handler"});
    for (int i = 0; i < 5; ++i) pool.post(int{i});
    while (inside < 3 || pool.queued() < 2) yield();
    EXPECT_FALSE(pool.try_post(5));
    EXPECT_FALSE(pool.try_submit(5));
    EXPECT_NE(fiber_report().find("\"handler\""), std::string::npos);
    auto blocked = start([&] { pool.post(6); });
    until_waiting(4);
    EXPECT_EQ(inside, 3);
    go_on.set();
    blocked.join();
    EXPECT_TRUE([&] {
      while (!pool.try_post(7)) yield();
      return true;
    }());
    pool.drain();
    EXPECT_EQ(inside, 7);
    EXPECT_THROW((worker_pool<int>([](int) {}, {.workers = 0})), misuse);
  });
}

TEST_P(worker_pools, what_a_try_refuses_stays_with_the_caller) {
  in_runtime([] {
    event go_on;
    worker_pool<std::unique_ptr<int>, int> pool([&](std::unique_ptr<int> v) {
      go_on.wait();
      return *v;
    }, {.workers = 1, .queue = 0});
    auto input = std::make_unique<int>(7);
    std::optional<job<int>> first;
    while (!first) {  // until the worker receives
      yield();
      first = pool.try_submit(std::move(input));
    }
    auto kept = std::make_unique<int>(8);
    EXPECT_FALSE(pool.try_submit(std::move(kept)));
    EXPECT_EQ(*kept, 8);
    go_on.set();
    EXPECT_EQ(first->get(), 7);
    pool.drain();
    EXPECT_THROW(static_cast<void>(pool.try_submit(std::move(kept))), pool_stopped);
    EXPECT_EQ(*kept, 8);
  });
}

TEST_P(worker_pools, results_of_posted_jobs_are_a_stream_that_holds_the_workers_up) {
  in_runtime([this] {
    std::atomic<int> done{0};
    worker_pool<int, int> pool([&](int v) {
      ++done;
      return 2 * v;
    }, {.workers = 2, .queue = 100, .results = 3});
    for (int i = 0; i < 20; ++i) pool.post(int{i});
    while (done < 5) yield();
    until_waiting(2);
    EXPECT_EQ(done, 5) << "3 wait, 2 are held";
    auto drainer = start([&] { pool.drain(); });
    std::vector<int> all;
    for (int v : pool.results()) all.push_back(v);
    drainer.join();
    std::sort(all.begin(), all.end());
    ASSERT_EQ(all.size(), 20u);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], 2 * i);
  });
}

TEST_P(worker_pools, a_dropped_handle_cancels_its_job_and_waits) {
  in_runtime([] {
    std::atomic<int> ran{0}, live{0}, interrupted{0};
    event begun;
    worker_pool<counted> pool([&](counted c) {
      ++ran;
      begun.set();
      if (c.value == 0) return;
      try {
        sleep_for(1h);
      } catch (const canceled&) {
        ++interrupted;
        throw;
      }
    }, {.workers = 1});
    {
      auto running = pool.submit(counted(live, 1));
      begun.wait();
      auto queued = pool.submit(counted(live, 1));
      queued.cancel();
      EXPECT_TRUE(queued.done());
      EXPECT_THROW(queued.get(), task_canceled);
    }
    EXPECT_EQ(interrupted, 1);
    auto next = pool.submit(counted(live, 0));
    next.get();
    EXPECT_EQ(ran, 2) << "the one that was queued did not run, the next one's context is not canceled";
    auto again = pool.submit(counted(live, 1));
    again.cancel();
    EXPECT_THROW(again.get(), task_canceled);
    pool.drain();
    EXPECT_EQ(live, 0);
  });
}

TEST_P(worker_pools, a_canceled_get_leaves_the_job) {
  in_runtime([] {
    event go_on;
    worker_pool<int, int> pool([&](int v) {
      go_on.wait();
      return v;
    });
    auto j = pool.submit(7);
    auto c = derive_cancel(context::current());
    c.cancel();
    {
      const context_scope scope(c.ctx);
      EXPECT_THROW(j.get(), canceled);
      EXPECT_THROW(j.join(), canceled);
      EXPECT_THROW(static_cast<void>(pool.submit(1)), canceled);
    }
    go_on.set();
    EXPECT_EQ(j.get(), 7);
  });
}

TEST_P(worker_pools, a_jobs_own_time_limit_is_its_failure) {
  in_runtime([] {
    worker_pool<int, int> pool([&](int) { return with_timeout(0s, [] { return sleep_for(1h), 1; }); });
    auto j = pool.submit(1);
    EXPECT_THROW(j.get(), deadline_exceeded);
    const hook h;
    {
      auto dropped = pool.submit(1);
      dropped.join();
    }
    EXPECT_EQ(unhandled, 1) << "as any failure that nobody took";
    pool.drain();
  });
}

TEST_P(worker_pools, failures_do_what_the_pool_was_told) {
  in_runtime([] {
    const hook h;
    const auto fail = [](int v) {
      if (v < 2) throw std::out_of_range(std::to_string(v));
      return v;
    };
    {
      worker_pool<int, int> pool(fail);
      auto taken = pool.submit(0);
      EXPECT_THROW(taken.get(), std::out_of_range);
      { auto dropped = pool.submit(0); dropped.join(); }
      EXPECT_EQ(unhandled, 1);
      pool.post(1);
      pool.drain();
      EXPECT_EQ(unhandled, 2);
    }
    {
      worker_pool<int, int> pool(fail, {.on_failure = job_failure::collected});
      auto taken = pool.submit(0);
      pool.post(1);
      EXPECT_THROW(taken.get(), std::out_of_range);
      pool.post(2);
      try {
        pool.drain();
        ADD_FAILURE();
      } catch (const task_group_error& e) {
        EXPECT_EQ(e.errors().size(), 2u);
      }
    }
    bubble([&] {
      std::atomic<int> live{0};
      event both, fail_now, never_set;
      worker_pool<counted> pool([&](counted c) {
        if (c.value == 1) {
          fail_now.wait();
          throw std::out_of_range("1");
        }
        both.set();
        never_set.wait();
      }, {.workers = 2, .on_failure = job_failure::stops_the_pool});
      pool.post(counted(live, 1));
      pool.post(counted(live, 0));
      both.wait();
      auto queued = pool.submit(counted(live, 2));
      fail_now.set();
      EXPECT_THROW(queued.get(), task_canceled) << "it was destroyed unrun";
      EXPECT_THROW(
          for (;;) {
            pool.post(counted(live, 3));
            yield();
          },
          pool_stopped);
      EXPECT_THROW(pool.drain(), std::out_of_range);
      EXPECT_EQ(live, 0);
    });
    EXPECT_EQ(unhandled, 2);
  });
}

TEST_P(worker_pools, it_grows_and_shrinks_while_it_runs_and_loses_nothing) {
  in_runtime([this] {
    std::atomic<int> inside{0}, done{0};
    event go_on;
    worker_pool<int> pool([&](int) {
      ++inside;
      go_on.wait();
      --inside;
      ++done;
    }, {.workers = 1, .queue = 100});
    for (int i = 0; i < 20; ++i) pool.post(int{i});
    while (inside < 1) yield();
    until_waiting(1);
    pool.resize(4);
    EXPECT_EQ(pool.size(), 4u);
    while (inside < 4) yield();
    pool.resize(2);
    go_on.set();
    while (done < 20) yield();
    go_on.reset();
    for (int i = 0; i < 20; ++i) pool.post(int{i});
    while (inside < 2) yield();
    until_waiting(2);
    EXPECT_EQ(inside, 2) << "two have left, idle or after their job";
    EXPECT_THROW(pool.resize(0), misuse);
    go_on.set();
    pool.drain();
    EXPECT_EQ(done, 40);
    EXPECT_THROW(pool.resize(3), pool_stopped);
  });
}

TEST_P(worker_pools, who_ends_it_while_another_one_does_has_a_limit_and_a_context_of_his_own) {
  in_runtime([] {
    bubble([] {
      for (const bool limited : {true, false}) {
        worker_pool<int> pool([](int) { sleep_for(1h); });
        pool.post(1);
        auto drains = go([&] { pool.drain(); });
        sleep_for(1s);
        const time_point start = steady_clock::now();
        if (limited) {
          EXPECT_FALSE(pool.shutdown(5s));
        } else {
          EXPECT_THROW(with_timeout(5s, [&] { pool.drain(); }), deadline_exceeded);
        }
        EXPECT_EQ(steady_clock::now(), start + 5s);
        drains.join();
        EXPECT_THROW(pool.post(2), pool_stopped);
      }
    });
  });
}

TEST_P(worker_pools, a_shutdown_drains_in_time_or_aborts) {
  in_runtime([] {
    bubble([] {
      std::atomic<int> done{0}, live{0};
      const auto job = [&](counted c) {
        sleep_for(std::chrono::seconds(c.value));
        ++done;
      };
      {
        worker_pool<counted> pool(job, {.workers = 2});
        for (int i = 0; i < 10; ++i) pool.post(counted(live, 1));
        EXPECT_TRUE(pool.shutdown(5500ms));
        EXPECT_EQ(done, 10);
      }
      {
        worker_pool<counted> pool(job, {.workers = 2});
        for (int i = 0; i < 10; ++i) pool.post(counted(live, 1));
        auto waiting = pool.submit(counted(live, 1));
        EXPECT_FALSE(pool.shutdown(2500ms));
        EXPECT_EQ(done, 14);
        EXPECT_EQ(live, 0);
        EXPECT_THROW(waiting.get(), task_canceled);
        EXPECT_THROW(pool.post(counted(live, 1)), pool_stopped);
      }
      {
        worker_pool<counted> pool(job);
        for (int i = 0; i < 10; ++i) pool.post(counted(live, 3600));
        EXPECT_THROW(with_timeout(1s, [&] { pool.drain(); }), deadline_exceeded);
      }
      EXPECT_EQ(live, 0);
      EXPECT_EQ(done, 14);
    });
  });
}

TEST_P(worker_pools, without_memory_for_a_worker_it_ends_and_nobody_waits_for_it) {
  in_runtime([] {
    for (const std::size_t workers : {1u, 3u}) {
      int k = 0;
      for (bool failed = true; failed;) {  // each allocation in turn, the pool's or a worker's
        bool served = false;
        fail_allocation(++k);
        try {
          worker_pool<int, int> pool([](int v) { return v; }, {.workers = workers});
          served = pool.submit(7).get() == 7;
        } catch (const std::bad_alloc&) {
        } catch (const pool_stopped&) {
        } catch (const task_canceled&) {
        }
        failed = stop_failing();
        EXPECT_TRUE(served || failed);
      }
      EXPECT_GT(k, 1);
    }
  });
}

TEST_P(worker_pools, canceling_the_context_above_stops_it_and_releases_who_submits) {
  in_runtime([this] {
    auto above = derive_cancel(context::current());
    std::atomic<int> live{0};
    auto pool = [&] {
      const context_scope scope(above.ctx);
      return std::make_unique<worker_pool<counted>>([](counted) { sleep_for(1h); }, worker_pool_options{.workers = 1, .queue = 1});
    }();
    pool->post(counted(live));
    pool->post(counted(live));
    auto blocked = start([&] { EXPECT_THROW(pool->post(counted(live)), pool_stopped); });
    until_waiting(2);
    above.cancel();
    blocked.join();
    EXPECT_THROW(pool->drain(), canceled);
    EXPECT_EQ(live, 0);
  });
}

TEST_P(worker_pools, the_end_of_the_pool_destroys_and_joins) {
  in_runtime([] {
    std::atomic<int> live{0};
    std::optional<job<void>> outlives;
    {
      worker_pool<counted> pool([](counted) { sleep_for(1h); }, {.workers = 2});
      outlives = pool.submit(counted(live));
      for (int i = 0; i < 20; ++i) pool.post(counted(live));
    }
    EXPECT_EQ(live, 0);
    EXPECT_THROW(outlives->get(), task_canceled);
  });
}

TEST_P(worker_pools, a_job_that_would_wait_for_its_own_pool_is_told_so) {
  in_runtime([] {
    worker_pool<int>* self = nullptr;
    worker_pool<int> pool([&](int) {
      EXPECT_THROW(self->drain(), misuse);
      EXPECT_THROW(self->shutdown(1h), misuse);
      EXPECT_THROW(self->abort(), misuse);
    });
    self = &pool;
    pool.submit(1).get();
    pool.submit(2).get();  // nothing was stopped
    pool.drain();
  });
}

}  // namespace
}  // namespace runnel::test
