// The idle protocol, with the workers' real loop: no fiber waits in a queue while the workers sleep.
#include "around/around.hpp"
#include "checker/expect.hpp"

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;

/// Fibers that count how many of them have run. What is not a part of the program reads the count with done().
struct counted {
  runnel::shim::atomic<int> runs{0};
  int given = 0;
  void run() {
    check(given == 1, "it runs before it was given");
    runs.fetch_add(1, runnel::shim::order::relaxed);  // relaxed: only counted
  }
};

TEST(idle, a_fiber_from_outside_wakes_the_only_worker) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w(1);
    counted c;
    int ran = 0;
    auto body = [&] {
      c.run();
      ran = 1;
    };
    around::test_fiber f(body);
    model::thread worker([&] { w.worker(0).main(); });
    c.given = 1;
    w.runtime().schedule(&f);
    model::wait_until([&] { return f.ended(); });
    w.stop();
    check(ran == 1, "what a worker did is visible after its end");
  }));
}

TEST(idle, a_worker_ends_or_is_left_behind) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 2}, [&] {
    around::world w(1);
    counted c;
    int ran = 0;
    auto body = [&] {
      c.run();
      ran = 1;
    };
    around::test_fiber f(body);
    check(w.worker(0).queue.push(&f), "full");
    c.given = 1;
    model::thread worker([&] { w.worker(0).main(); });
    w.begin_stop();
    const bool ended = w.worker(0).wait_ended(runnel::time_point{});
    if (ended) check(ran <= 1, "what a worker did is visible after its end");
    outcomes |= ended ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(idle, two_fibers_from_outside_wake_the_only_worker) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w(1);
    counted c;
    auto body = [&] { c.run(); };
    around::test_fiber f(body), g(body);
    model::thread worker([&] { w.worker(0).main(); });
    c.given = 1;
    w.runtime().schedule(&f);
    w.runtime().schedule(&g);
    model::wait_until([&] { return f.ended() && g.ended(); });
    w.stop();
  }));
}

TEST(idle, a_worker_that_makes_two_fibers_runnable_wakes_another_for_the_first) {
  // The first one's worker does not run it: it is kept busy until somebody else has.
  expect_passes(explore(bounds{1, 1}, [] {
    around::world w(2);
    counted c;
    auto body = [&] { c.run(); };
    around::test_fiber g(body), h(body);
    auto producer_body = [&] {
      w.runtime().schedule(&g);
      w.runtime().schedule(&h);  // takes the run-next slot, g goes to the ring
      model::wait_until([&] { return g.ended(); });
    };
    around::test_fiber producer(producer_body);
    model::thread first([&] { w.worker(0).main(); });
    model::thread second([&] { w.worker(1).main(); });
    c.given = 1;
    w.runtime().schedule(&producer);
    model::wait_until([&] { return g.ended() && h.ended() && producer.ended(); });
    w.stop();
  }));
}

TEST(idle, what_the_last_searcher_misses_wakes_another) {
  // A producer relies on a searcher that has just found something else. What it found keeps it busy: another must be woken.
  // The other worker has no thread here; it is enough that it is taken from the set.
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w(2);
    around::test_fiber* second = nullptr;
    counted c;
    auto first_body = [&] { model::wait_until([&] { return second->ended() || !w.worker(1).idle; }); };
    auto second_body = [&] { c.run(); };
    around::test_fiber f(first_body), g(second_body);
    second = &g;
    w.runtime().idle.enter(w.worker(1));
    model::thread worker([&] { w.worker(0).main(); });
    c.given = 1;
    model::wait_until([&] { return w.worker(0).idle; });  // it came last, so it is woken first
    w.runtime().schedule(&f);
    w.runtime().schedule(&g);
    model::wait_until([&] { return f.ended() && g.ended(); });
    w.stop(1);
  }));
}

TEST(idle, the_sleeper_in_the_poller_is_kicked) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w(1, true);
    counted c;
    auto body = [&] { c.run(); };
    around::test_fiber f(body), g(body);
    model::thread worker([&] { w.worker(0).main(); });
    c.given = 1;
    w.runtime().schedule(&f);
    w.runtime().schedule(&g);
    model::wait_until([&] { return f.ended() && g.ended(); });
    w.stop();
  }));
}

TEST(idle, one_sleeps_in_the_poller_and_one_in_the_futex) {
  expect_passes(explore(bounds{1, 1}, [] {
    around::world w(2, true);
    counted c;
    auto body = [&] { c.run(); };
    around::test_fiber f(body);
    model::thread first([&] { w.worker(0).main(); });
    model::thread second([&] { w.worker(1).main(); });
    c.given = 1;
    w.runtime().schedule(&f);
    model::wait_until([&] { return f.ended(); });
    w.stop();
  }));
}

TEST(idle, a_parked_fiber_is_woken_from_outside) {
  // The wake-up may come while the fiber is still leaving its stack.
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w(1);
    runnel::sched::waiter* mine = nullptr;
    runnel::shim::atomic<int> ready(0);
    int value = 0;
    auto body = [&] {
      runnel::sched::waiter here;
      mine = &here;
      ready.store(1, runnel::shim::order::release);  // release: publishes the waiter
      check(runnel::sched::park(here, runnel::sched::wait_reason::sleep, nullptr) == runnel::sched::granted, "granted");
      check(value == 1, "late");
    };
    around::test_fiber f(body);
    model::thread worker([&] { w.worker(0).main(); });
    w.runtime().schedule(&f);
    // acquire: pairs with the release above
    while (ready.load(runnel::shim::order::acquire) == 0) runnel::shim::spin_pause();
    value = 1;
    check(mine->try_claim(runnel::sched::granted), "nobody else claims it");
    mine->wake();
    model::wait_until([&] { return f.ended(); });
    w.stop();
  }));
}

TEST(idle, fibers_that_are_woken_together_wake_a_worker) {
  expect_passes(explore(bounds{1, 1}, [] {
    around::world w(1);
    runnel::detail::raw_lock lock;
    runnel::sched::wait_queue queue;
    int registered = 0;
    auto body = [&] {
      runnel::sched::waiter here;
      runnel::sched::wait_node n(here);
      {
        const runnel::detail::raw_guard hold(lock);
        queue.push_back(n);
        ++registered;
      }
      check(runnel::sched::park(here, runnel::sched::wait_reason::sleep, nullptr) == runnel::sched::granted, "granted");
    };
    around::test_fiber f(body), g(body);
    check(w.worker(0).queue.push(&f) && w.worker(0).queue.push(&g), "full");
    model::thread worker([&] { w.worker(0).main(); });
    model::wait_until([&] { return registered == 2; });
    runnel::sched::wake_list woken;
    {
      const runnel::detail::raw_guard hold(lock);
      woken.claim_all(queue);
    }
    woken.wake_all();
    model::wait_until([&] { return f.ended() && g.ended(); });
    w.stop();
  }));
}

TEST(idle, a_fiber_is_resumed_by_another_worker_only_when_it_has_left_its_stack) {
  expect_passes(explore(bounds{1, 1}, [] {
    around::world w(2);
    runnel::sched::waiter* mine = nullptr;
    runnel::shim::atomic<int> ready(0);
    auto sleeper_body = [&] {
      int on_the_stack = 1;
      runnel::sched::waiter here;
      mine = &here;
      ready.store(1, runnel::shim::order::release);  // release: publishes the waiter
      check(runnel::sched::park(here, runnel::sched::wait_reason::sleep, nullptr) == runnel::sched::granted, "granted");
      ++on_the_stack;
      check(on_the_stack == 2, "another's stack");
    };
    around::test_fiber sleeper(sleeper_body);
    auto waker_body = [&] {
      // acquire: pairs with the release above
      while (ready.load(runnel::shim::order::acquire) == 0) runnel::shim::spin_pause();
      check(mine->try_claim(runnel::sched::granted), "nobody else claims it");
      mine->wake();
    };
    around::test_fiber waker(waker_body);
    check(w.worker(0).queue.push(&sleeper) && w.worker(1).queue.push(&waker), "full");
    model::thread first([&] { w.worker(0).main(); });
    model::thread second([&] { w.worker(1).main(); });
    model::wait_until([&] { return sleeper.ended() && waker.ended(); });
    w.stop();
  }));
}

TEST(idle, a_fiber_that_yields_switches_to_one_that_has_left_its_stack_elsewhere) {
  expect_passes(explore(bounds{1, 1}, [] {
    around::world w(2);
    runnel::sched::waiter* mine = nullptr;
    runnel::shim::atomic<int> ready(0);
    auto sleeper_body = [&] {
      int on_the_stack = 1;
      runnel::sched::waiter here;
      mine = &here;
      ready.store(1, runnel::shim::order::release);  // release: publishes the waiter
      check(runnel::sched::park(here, runnel::sched::wait_reason::sleep, nullptr) == runnel::sched::granted, "granted");
      ++on_the_stack;
      check(on_the_stack == 2, "another's stack");
    };
    around::test_fiber sleeper(sleeper_body);
    auto waker_body = [&] {
      // acquire: pairs with the release above
      while (ready.load(runnel::shim::order::acquire) == 0) runnel::shim::spin_pause();
      check(mine->try_claim(runnel::sched::granted), "nobody else claims it");
      mine->wake();
      runnel::sched::yield_turn();
    };
    around::test_fiber waker(waker_body);
    check(w.worker(0).queue.push(&sleeper) && w.worker(1).queue.push(&waker), "full");
    model::thread first([&] { w.worker(0).main(); });
    model::thread second([&] { w.worker(1).main(); });
    model::wait_until([&] { return sleeper.ended() && waker.ended(); });
    w.stop();
  }));
}

TEST(idle, fibers_that_yield_to_each_other_all_end) {
  expect_passes(explore(bounds{1, 1}, [] {
    around::world w(2);
    int rounds[2] = {};
    auto first_body = [&] {
      for (int i = 0; i < 2; ++i) ++rounds[0], runnel::sched::yield_turn();
    };
    auto second_body = [&] {
      for (int i = 0; i < 2; ++i) ++rounds[1], runnel::sched::yield_turn();
    };
    around::test_fiber f(first_body), g(second_body);
    check(w.worker(0).queue.push(&f) && w.worker(0).queue.push(&g), "full");
    model::thread first([&] { w.worker(0).main(); });
    model::thread second([&] { w.worker(1).main(); });
    model::wait_until([&] { return f.ended() && g.ended(); });
    w.stop();
    check(rounds[0] == 2 && rounds[1] == 2, "all rounds");
  }));
}

TEST(idle, of_two_new_fibers_another_worker_is_told) {
  expect_passes(explore(bounds{1, 1}, [] {
    around::world w(2);
    counted c;
    auto body = [&] { c.run(); };
    around::test_fiber f(body), g(body);
    auto parent_body = [&] {
      w.runtime().schedule_new(&f, runnel::sched::this_worker());
      w.runtime().schedule_new(&g, runnel::sched::this_worker());
      model::wait_until([&] { return f.ended() || g.ended(); });  // keeps its worker until one has run elsewhere
    };
    around::test_fiber parent(parent_body);
    model::thread first([&] { w.worker(0).main(); });
    model::thread second([&] { w.worker(1).main(); });
    c.given = 1;
    w.runtime().schedule(&parent);
    model::wait_until([&] { return f.ended() && g.ended() && parent.ended(); });
    w.stop();
  }));
}

TEST(idle, two_producers_and_one_worker) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w(1);
    counted c;
    auto body = [&] { c.run(); };
    around::test_fiber f(body), g(body);
    model::thread worker([&] { w.worker(0).main(); });
    c.given = 1;
    model::thread producer([&] { w.runtime().schedule_new(&f, nullptr); });
    w.runtime().schedule(&g);
    model::wait_until([&] { return f.ended() && g.ended(); });
    w.stop();
  }));
}

TEST(idle, two_workers_and_two_fibers) {
  expect_passes(explore(bounds{1, 1}, [] {
    around::world w(2);
    counted c;
    auto body = [&] { c.run(); };
    around::test_fiber f(body), g(body);
    model::thread first([&] { w.worker(0).main(); });
    model::thread second([&] { w.worker(1).main(); });
    c.given = 1;
    w.runtime().schedule(&f);
    w.runtime().schedule(&g);
    model::wait_until([&] { return f.ended() && g.ended(); });
    w.stop();
  }));
}

}  // namespace
