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
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w(1);
    counted c;
    auto body = [&] { c.run(); };
    around::test_fiber f(body);
    model::thread worker([&] { w.worker(0).main(); });
    c.given = 1;
    w.runtime().schedule(&f);
    model::wait_until([&] { return f.ended(); });
    w.stop();
  }));
}

TEST(idle, two_fibers_from_outside_wake_the_only_worker) {
  expect_passes(explore(bounds{2, 1}, [] {
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

TEST(idle, two_producers_and_one_worker) {
  expect_passes(explore(bounds{1, 1}, [] {
    around::world w(1);
    counted c;
    auto body = [&] { c.run(); };
    around::test_fiber f(body), g(body);
    model::thread worker([&] { w.worker(0).main(); });
    c.given = 1;
    model::thread producer([&] { w.runtime().schedule(&f); });
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
