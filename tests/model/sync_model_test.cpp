// mutex and wait_group: exclusion and order, and nobody waits for ever.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include <runnel/sync/mutex.hpp>
#include <runnel/sync/wait_group.hpp>

#include <memory>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;

constexpr runnel::time_point soon{std::chrono::nanoseconds(1000)};

TEST(mutex, two_exclude_each_other) {
  expect_passes(explore(bounds{4, 3}, [] {
    around::world w;
    runnel::mutex m;
    int shared = 0;
    const auto section = [&] {
      m.lock();
      ++shared;
      m.unlock();
    };
    model::thread t(section);
    section();
    t.join();
    check(shared == 2, "an update was lost");
  }));
}

TEST(mutex, three_and_none_is_left_waiting) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    runnel::mutex m;
    int shared = 0;
    const auto section = [&] {
      m.lock();
      ++shared;
      m.unlock();
    };
    model::thread a(section), b(section);
    section();
    a.join(), b.join();
    check(shared == 3, "an update was lost");
  }));
}

TEST(mutex, the_lock_is_handed_to_who_has_waited_long) {
  expect_passes(explore(bounds{4, 2}, [] {
    around::world w;
    runnel::mutex m;
    int shared = 0;
    const auto section = [&] {
      m.lock();
      around::set_time(runnel::time_point(std::chrono::milliseconds(10)));  // all that wait by now have waited long
      ++shared;
      m.unlock();
    };
    model::thread t(section);
    section();
    t.join();
    check(shared == 2, "an update was lost");
  }));
}

TEST(mutex, who_gives_up_leaves_the_lock_to_the_others) {
  int outcomes = 0;
  expect_passes(explore(bounds{3, 2}, [&] {
    around::world w;
    runnel::mutex m;
    int shared = 0, got = 0;
    model::thread t([&] {
      if (!m.try_lock_until(soon)) return;
      ++shared;
      ++got;
      m.unlock();
    });
    m.lock();
    ++shared;
    m.unlock();
    m.lock();
    ++shared;
    m.unlock();
    t.join();
    check(shared == 2 + got, "an update was lost");
    outcomes |= 1 << got;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(mutex, who_gives_up_meets_newcomers_and_those_who_wait_on) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    runnel::mutex m;
    int shared = 0, got = 0;
    model::thread hasty([&] {
      if (!m.try_lock_until(soon)) return;
      ++shared;
      ++got;
      m.unlock();
    });
    model::thread patient([&] {
      m.lock();
      ++shared;
      m.unlock();
    });
    m.lock();
    ++shared;
    m.unlock();
    hasty.join(), patient.join();
    check(shared == 2 + got, "an update was lost");
    check(m.try_lock(), "it is free in the end");
    m.unlock();
    outcomes |= 1 << got;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(mutex, who_locked_it_last_may_destroy_it) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto m = std::make_unique<runnel::mutex>();
    m->lock();
    model::thread other([one = m.get()] { one->unlock(); });
    m->lock();
    m->unlock();
    m.reset();  // the other may still be inside unlock()
    other.join();
  }));
}

TEST(wait_group, wait_returns_behind_the_last_done) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto g = std::make_unique<runnel::wait_group>();
    int done[2] = {};
    g->add(2);
    model::thread a([&] {
      done[0] = 1;
      g->done();
    });
    model::thread b([&] {
      done[1] = 1;
      g->done();
    });
    g->wait();
    check(done[0] == 1 && done[1] == 1, "what happened before done() is visible");
    g.reset();  // nobody touches it any more
  }));
}

TEST(wait_group, two_wait_and_the_last_to_return_destroys_it) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    auto g = std::make_unique<runnel::wait_group>();
    int done = 0;
    g->add();
    model::thread other([&] {
      g->wait();
      check(done == 1, "what happened before done() is visible");
    });
    model::thread last([&] {
      done = 1;
      g->done();
    });
    g->wait();
    check(done == 1, "what happened before done() is visible");
    other.join();
    g.reset();  // last may still be inside done()
  }));
}

TEST(wait_group, who_gives_up_leaves_it_to_the_others) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    auto g = std::make_unique<runnel::wait_group>();
    g->add();
    int done = 0, reached = 0;
    model::thread hasty([&] { reached = g->wait_for(std::chrono::nanoseconds(1)); });
    model::thread worker([&] {
      done = 1;
      g->done();
    });
    g->wait();
    check(done == 1, "what happened before done() is visible");
    hasty.join();
    g.reset();
    outcomes |= 1 << reached;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(wait_group, who_has_given_up_may_look_again_and_destroy_it) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto g = std::make_unique<runnel::wait_group>();
    g->add();
    int done = 0;
    model::thread worker([&] {
      done = 1;
      g->done();
    });
    if (!g->wait_for(std::chrono::nanoseconds(1))) g->wait();
    check(done == 1, "what happened before done() is visible");
    g.reset();
  }));
}

TEST(wait_group, one_that_is_canceled_leaves_nothing_behind) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    auto g = std::make_unique<runnel::wait_group>();
    auto d = runnel::derive_cancel(runnel::context::background());
    g->add();
    model::thread worker([&] { g->done(); });
    model::thread canceler([&] { d.cancel.cancel(); });
    try {
      g->wait(d.ctx);
      outcomes |= 1;
    } catch (const runnel::canceled&) {
      outcomes |= 2;
    }
    g->wait();
    g.reset();
    worker.join();
    canceler.join();
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(wait_group, one_done_too_many_hides_nothing) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    runnel::wait_group g;
    int done = 0;
    g.add();
    model::thread worker([&] {
      done = 1;
      g.done();
    });
    try {
      g.add(-2);
      check(false, "below zero");
    } catch (const runnel::misuse&) {
    }
    g.wait();
    check(done == 1, "what happened before done() is visible");
    worker.join();
  }));
}

TEST(wait_group, it_can_be_used_again) {
  expect_passes(explore(bounds{3, 1}, [] {
    around::world w;
    runnel::wait_group g;
    int first = 0, second = 0;
    g.add();
    model::thread worker([&] {
      first = 1;
      g.done();
    });
    g.wait();
    check(first == 1, "what happened before done() is visible");
    g.add();
    model::thread next([&] {
      second = 1;
      g.done();
    });
    g.wait();
    check(second == 1, "what happened before done() is visible");
    worker.join();
    next.join();
  }));
}

}  // namespace
