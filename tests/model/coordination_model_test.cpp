// latch, barrier and events: nobody waits for ever, and they may go as soon as a wait has returned.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include <runnel/sync/barrier.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/sync/latch.hpp>

#include <memory>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;

TEST(latch, it_may_go_as_soon_as_a_wait_has_returned) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto l = std::make_unique<runnel::latch>(2);
    int done[2] = {};
    model::thread a([&] {
      done[0] = 1;
      l->count_down();
    });
    model::thread b([&] {
      done[1] = 1;
      l->count_down();
    });
    l->wait();
    check(done[0] == 1 && done[1] == 1, "what happened before the counts is visible");
    l.reset();
  }));
}

TEST(latch, it_may_go_as_soon_as_one_who_arrived_and_waited_goes_on) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto l = std::make_unique<runnel::latch>(2);
    int done = 0;
    model::thread other([&, raw = l.get()] {
      done = 1;
      raw->arrive_and_wait();
    });
    l->arrive_and_wait();
    check(done == 1, "what happened before the arrivals is visible");
    l.reset();
  }));
}

TEST(event, a_wait_that_gives_up_looks_again_and_may_destroy_it) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto e = std::make_unique<runnel::event>();
    int done = 0;
    model::thread setter([&] {
      done = 1;
      e->set();
    });
    if (!e->wait_for(std::chrono::nanoseconds(1))) e->wait();
    check(done == 1, "what happened before the set is visible");
    e.reset();
  }));
}

TEST(auto_reset_event, a_set_is_for_one_though_another_gives_up) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    runnel::auto_reset_event e;
    bool reached = false;
    model::thread hasty([&] { reached = e.wait_for(std::chrono::nanoseconds(1)); });
    model::thread patient([&] { e.wait(); });
    e.set();
    hasty.join();
    if (reached) e.set();  // for the other
    patient.join();
    check(!e.try_wait(), "what one has taken is left");
    outcomes |= 1 << reached;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(barrier, two_phases_of_two) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    int completed = 0, cells[2] = {};
    const auto complete = [&]() noexcept { ++completed; };
    runnel::barrier<decltype(complete)> b(2, complete);
    const auto part = [&](int n) {
      for (int phase = 1; phase <= 2; ++phase) {
        cells[n] = phase;
        b.arrive_and_wait();
      }
    };
    model::thread t([&] { part(1); });
    part(0);
    t.join();
    check(cells[0] == 2 && cells[1] == 2 && completed == 2, "a phase was lost");
  }));
}

TEST(barrier, it_may_go_as_soon_as_one_who_arrived_and_waited_goes_on) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto b = std::make_unique<runnel::barrier<>>(2);
    model::thread other([raw = b.get()] { raw->arrive_and_wait(); });
    b->arrive_and_wait();
    b.reset();
  }));
}

TEST(barrier, who_gives_up_has_not_arrived_or_takes_part) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    int completed = 0;
    const auto complete = [&]() noexcept { ++completed; };
    runnel::barrier<decltype(complete)> b(2, complete);
    bool arrived = false;
    model::thread hasty([&] { arrived = b.arrive_and_wait_for(std::chrono::nanoseconds(1)); });
    auto token = b.arrive();
    hasty.join();
    check(arrived == (completed == 1), "an arrival counts, or not");
    if (!arrived) static_cast<void>(b.arrive());
    b.wait(std::move(token));
    check(completed == 1, "the phase is over");
    outcomes |= 1 << arrived;
  }));
  EXPECT_EQ(outcomes, 3);
}

}  // namespace
