// Timers: after disarm() nothing of a timer is touched; a timer is not slept through.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include <runnel/sched/timer.hpp>
#include <runnel/sched/waiter.hpp>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using runnel::time_point;
using runnel::sched::arm;
using runnel::sched::deferred;
using runnel::sched::disarm;
using runnel::sched::run_due_timers;
using runnel::sched::timer_node;
using runnel::sched::wake_list;

constexpr time_point at(int ns) { return time_point(std::chrono::nanoseconds(ns)); }

/// Counts how often it fires, in its own frame.
struct counter : timer_node {
  explicit counter(time_point t = runnel::never) noexcept : timer_node(&on_fire), latest(t) {}
  static deferred* on_fire(timer_node& n, time_point, wake_list&) noexcept {
    auto& self = static_cast<counter&>(n);
    ++self.fired;
    check(runnel::steady_clock::now() <= self.latest, "fired late");
    return nullptr;
  }
  const time_point latest;
  int fired = 0;
};

TEST(timer, disarm_and_fire) {
  int outcomes = 0;
  expect_passes(explore(bounds{4, 3, 1}, [&] {
    around::world w;
    w.keep_running();
    around::set_time(at(10));
    model::thread other([] { run_due_timers(); });
    {
      counter c;
      arm(c, at(5));
      const bool was = disarm(c);
      check(was == (c.fired == 0), "fired and disarmed, or neither");
      outcomes |= was ? 1 : 2;
    }
    other.join();
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(timer, two_look_and_one_fires) {
  expect_passes(explore(bounds{4, 2}, [] {
    around::world w;
    w.keep_running();
    around::set_time(at(10));
    counter c, later;
    arm(c, at(5));
    arm(later, at(50));
    model::thread a([] { run_due_timers(); });
    model::thread b([] { run_due_timers(); });
    a.join(), b.join();
    check(c.fired == 1 && later.fired == 0, "once, and only what is due");
    check(disarm(later), "still armed");
  }));
}

TEST(timer, rearm_and_fire) {
  int outcomes = 0;
  expect_passes(explore(bounds{5, 3}, [&] {
    around::world w;
    w.keep_running();
    around::set_time(at(10));
    counter c;
    arm(c, at(5));
    model::thread other([] { run_due_timers(); });
    const bool was = runnel::sched::rearm(c, at(50), [](timer_node&, void*) noexcept {}, nullptr);
    other.join();
    check(c.fired == (was ? 0 : 1), "it fired at its first time, or not at all");
    check(disarm(c), "armed for the second time");
    outcomes |= was ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(timer, a_fibers_time_out_and_a_grant_end_its_wait_once) {
  int outcomes = 0;
  expect_passes(explore(bounds{3, 1}, [&] {
    around::world w(1);
    w.keep_running();
    runnel::detail::raw_lock lock;
    runnel::sched::wait_queue queue;
    bool given = false, granted = false;
    auto body = [&] {
      runnel::sched::waiter mine;
      runnel::sched::wait_node n(mine);
      {
        const runnel::detail::raw_guard hold(lock);
        if (given) return;
        queue.push_back(n);
      }
      granted = park(mine, runnel::sched::wait_reason::sleep, nullptr, at(5)) == runnel::sched::granted;
      const runnel::detail::raw_guard hold(lock);
      queue.remove(n);
      check(granted == (n.note == 1), "half a grant");
      outcomes |= granted ? 1 : 2;
    };
    around::test_fiber f(body);
    model::thread worker([&] { w.worker(0).main(); });
    w.runtime().schedule(&f);
    around::set_time(at(10));
    {
      wake_list woken;
      {
        const runnel::detail::raw_guard hold(lock);
        given = true;
        if (runnel::sched::wait_node* n = queue.claim_front()) {
          n->note = 1;
          woken.push(*n->owner);
        }
      }
      woken.wake_all();
    }
    model::wait_until([&] { return f.ended(); });
    w.stop();
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(timer, the_sleeper_in_the_poller_hears_of_a_first_timer) {
  expect_passes(explore(bounds{3, 1}, [] {
    around::world w(1, true);
    w.keep_running();
    counter c;
    model::thread worker([&] { w.worker(0).main(); });
    arm(c, at(5));
    model::wait_until([&] { return c.fired == 1; });
    w.stop();
  }));
}

TEST(timer, the_sleeper_in_the_poller_hears_of_an_earlier_timer) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w(1, true);
    w.keep_running();
    counter late, early(at(5));
    arm(late, at(50));
    model::thread worker([&] { w.worker(0).main(); });
    arm(early, at(5));
    // Time passes only while the poller sleeps, and then at most until it wants to wake.
    model::wait_until([&] { return early.fired == 1 && late.fired == 1; });
    w.stop();
  }));
}

TEST(timer, the_sleeper_in_the_poller_hears_of_a_timer_that_moves_forward) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w(1, true);
    w.keep_running();
    counter c(at(5));
    arm(c, at(50));
    model::thread worker([&] { w.worker(0).main(); });
    check(runnel::sched::rearm(c, at(5), [](timer_node&, void*) noexcept {}, nullptr), "armed");
    model::wait_until([&] { return c.fired == 1; });
    w.stop();
  }));
}

}  // namespace
