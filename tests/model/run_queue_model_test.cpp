// The worker's ring and its run-next slot: every fiber is taken exactly once, by one who sees what it was given.
#include "checker/expect.hpp"
#include "given_fibers.hpp"

#include "sched/run_queue.hpp"

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using model::given_fibers;
using runnel::sched::fiber;
using runnel::sched::run_queue;

TEST(run_queue, owner_and_thief_share_without_loss) {
  expect_passes(explore(bounds{3, 2}, [] {
    given_fibers<3> f;
    run_queue mine, thiefs;
    model::thread thief([&] {
      f.take(thiefs.steal_from(mine));
      f.drain(thiefs);
    });
    for (int i = 0; i < 3; ++i) check(mine.push(f.give(i)), "full");
    f.drain(mine);
    thief.join();
    f.drain(mine);
    f.check_all(3);
  }));
}

TEST(run_queue, a_slot_is_used_again_while_a_thief_copies) {
  expect_passes(explore(bounds{3, 2}, [] {
    given_fibers<7> f;
    run_queue mine, thiefs;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    model::thread thief([&] {
      f.take(thiefs.steal_from(mine));
      f.drain(thiefs);
    });
    int put = 4;
    for (int i = 0; i < 3; ++i) {
      f.take(mine.pop());
      if (mine.push(f.give(put))) ++put;
    }
    thief.join();
    f.drain(mine);
    f.check_all(put);
  }));
}

TEST(run_queue, who_pushes_into_a_slot_that_a_thief_freed_waits_for_the_thief) {
  expect_passes(explore(bounds{3, 3}, [] {
    given_fibers<6> f;
    run_queue mine, thiefs;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    model::thread thief([&] {
      f.take(thiefs.steal_from(mine));
      f.drain(thiefs);
    });
    int put = 4;
    for (int i = 0; i < 2; ++i)
      if (mine.push(f.give(put))) ++put;
    thief.join();
    f.drain(mine);
    f.check_all(put);
  }));
}

TEST(run_queue, the_older_half_leaves_a_full_ring_while_a_thief_looks) {
  expect_passes(explore(bounds{3, 2}, [] {
    given_fibers<5> f;
    run_queue mine, thiefs;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    model::thread thief([&] {
      f.take(thiefs.steal_from(mine));
      f.drain(thiefs);
    });
    std::uint32_t n = 0;
    fiber* half = mine.take_half(n);
    std::uint32_t counted = 0;
    while (half) {
      fiber* const next = half->next;
      f.take(half);
      half = next;
      ++counted;
    }
    check(counted == n, "a wrong number");
    check(mine.push(f.give(4)), "no room after half was taken");
    thief.join();
    f.drain(mine);
    f.check_all(5);
  }));
}

TEST(run_queue, two_thieves) {
  expect_passes(explore(bounds{2, 2}, [] {
    given_fibers<3> f;
    run_queue mine, first, second;
    for (int i = 0; i < 2; ++i) check(mine.push(f.give(i)), "full");
    model::thread a([&] {
      f.take(first.steal_from(mine));
      f.drain(first);
    });
    model::thread b([&] {
      f.take(second.steal_from(mine));
      f.drain(second);
    });
    check(mine.push(f.give(2)), "full");
    f.take(mine.pop());
    a.join(), b.join();
    f.drain(mine);
    f.check_all(3);
  }));
}

TEST(run_queue, stolen_fibers_can_be_stolen_again) {
  expect_passes(explore(bounds{3, 2}, [] {
    given_fibers<4> f;
    run_queue mine, first, second;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    model::thread a([&] {
      f.take(first.steal_from(mine));
      f.take(first.pop());
    });
    model::thread b([&] {
      f.take(second.steal_from(first));
      f.drain(second);
    });
    a.join(), b.join();
    f.drain(first);
    f.drain(mine);
    f.check_all(4);
  }));
}

TEST(run_queue, who_steals_into_slots_that_another_thief_freed_waits_for_that_thief) {
  expect_passes(explore(bounds{2, 1}, [] {
    given_fibers<6> f;
    run_queue victim, mine, others;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    for (int i = 4; i < 6; ++i) check(victim.push(f.give(i)), "full");
    model::thread other([&] {
      for (int i = 0; i < 3; ++i) {  // 2, 1 and 1 of them
        f.take(others.steal_from(mine));
        f.drain(others);
      }
    });
    if (fiber* own = mine.pop()) {
      f.take(own);
    } else {
      f.take(mine.steal_from(victim));  // into the slots that `other` copied first
    }
    other.join();
    f.drain(mine);
    f.drain(victim);
    f.check_all(6);
  }));
}

TEST(run_queue, who_finds_it_empty_may_forget_it) {
  // A queue that is seen empty after the owner has said so holds nothing: the last look of a worker that goes to sleep.
  expect_passes(explore(bounds{4, 4}, [] {
    given_fibers<1> f;
    run_queue mine;
    runnel::shim::atomic<int> done(0);
    model::thread owner([&] {
      check(mine.push(f.give(0)), "full");
      done.store(1, runnel::shim::order::release);  // release: what was pushed before is visible
    });
    // acquire: pairs with the release above
    if (done.load(runnel::shim::order::acquire) == 1) check(!mine.empty(), "the fiber is invisible");
    owner.join();
    f.drain(mine);
    f.check_all(1);
  }));
}

TEST(run_queue, owner_and_monitor_take_the_next_fiber_once) {
  expect_passes(explore(bounds{6, 6}, [] {
    given_fibers<2> f;
    run_queue mine;
    model::thread monitor([&] {
      if (mine.has_next()) f.take(mine.exchange_next(nullptr));
    });
    f.take(mine.put_next(f.give(0)));
    f.take(mine.put_next(f.give(1)));
    if (mine.has_next()) f.take(mine.exchange_next(nullptr));
    monitor.join();
    f.take(mine.exchange_next(nullptr));
    f.check_all(2);
  }));
}

}  // namespace
