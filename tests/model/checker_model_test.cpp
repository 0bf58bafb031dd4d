// The checker itself: programs that are known to be wrong must be reported, and their right twins must pass.
#include "checker/expect.hpp"

#include "base/futex.hpp"

#include <runnel/base/atomic.hpp>
#include <runnel/base/heavy_fence.hpp>

#include <memory>

namespace {

namespace order = runnel::shim::order;
using model::bounds;
using model::check;
using model::expect_fails;
using model::expect_passes;
using model::explore;
using model::wide;
using runnel::shim::fence;
using integer = runnel::shim::atomic<int>;
using word = runnel::shim::atomic<std::uint32_t>;
using runnel::detail::futex_wait;
using runnel::detail::futex_wake;

// ---- litmus tests. Orders in the comments are what the test is about, so they are not explained one by one.

/// Store buffering: may both loads miss the other's store?
model::result store_buffering(std::memory_order stores, std::memory_order loads, bool fences) {
  return explore(wide, [=] {
    integer x(0), y(0);
    int a = 0, b = 0;
    model::thread t([&] {
      x.store(1, stores);
      if (fences) fence(order::seq_cst);
      a = y.load(loads);
    });
    y.store(1, stores);
    if (fences) fence(order::seq_cst);
    b = x.load(loads);
    t.join();
    check(a == 1 || b == 1, "both missed the other's store");
  });
}

TEST(litmus, store_buffering_is_possible_below_seq_cst) {
  expect_fails(store_buffering(order::relaxed, order::relaxed, false), "both missed");
  expect_fails(store_buffering(order::release, order::acquire, false), "both missed");
}
TEST(litmus, store_buffering_needs_all_four_accesses_to_be_seq_cst) {
  expect_passes(store_buffering(order::seq_cst, order::seq_cst, false));
  expect_fails(store_buffering(order::release, order::seq_cst, false), "both missed");
  expect_fails(store_buffering(order::seq_cst, order::acquire, false), "both missed");
}
TEST(litmus, each_of_the_four_accesses_must_be_seq_cst) {
  for (int weak = 0; weak < 5; ++weak) {
    const model::result r = explore(wide, [=] {
      integer x(0), y(0);
      int a = 0, b = 0;
      model::thread t([&] {
        x.store(1, weak == 0 ? order::release : order::seq_cst);
        a = y.load(weak == 1 ? order::acquire : order::seq_cst);
      });
      y.store(1, weak == 2 ? order::release : order::seq_cst);
      b = x.load(weak == 3 ? order::acquire : order::seq_cst);
      t.join();
      check(a == 1 || b == 1, "both missed");
    });
    if (weak == 4) {
      expect_passes(r);
    } else {
      expect_fails(r, "both missed");
    }
  }
}
TEST(litmus, seq_cst_fences_forbid_store_buffering) {
  expect_passes(store_buffering(order::relaxed, order::relaxed, true));
}
TEST(litmus, one_seq_cst_fence_alone_does_not) {
  expect_fails(explore(wide,
                       [] {
                         integer x(0), y(0);
                         int a = 0, b = 0;
                         model::thread t([&] {
                           x.store(1, order::relaxed);
                           fence(order::seq_cst);
                           a = y.load(order::relaxed);
                         });
                         y.store(1, order::relaxed);
                         b = x.load(order::relaxed);
                         t.join();
                         check(a == 1 || b == 1, "both missed");
                       }),
               "both missed");
}
TEST(litmus, a_seq_cst_fence_and_a_seq_cst_access_meet) {
  // [atomics.order] p4: a seq_cst store before the fence in S is seen after the fence, and the other way round.
  expect_passes(explore(wide, [] {
    integer x(0), y(0);
    int a = 0, b = 0;
    model::thread t([&] {
      x.store(1, order::relaxed);
      fence(order::seq_cst);
      a = y.load(order::relaxed);
    });
    y.store(1, order::seq_cst);
    b = x.load(order::seq_cst);
    t.join();
    check(a == 1 || b == 1, "both missed");
  }));
}
TEST(litmus, acq_rel_fences_do_not_forbid_store_buffering) {
  expect_fails(explore(wide,
                       [] {
                         integer x(0), y(0);
                         int a = 0, b = 0;
                         model::thread t([&] {
                           x.store(1, order::relaxed);
                           fence(order::acq_rel);
                           a = y.load(order::relaxed);
                         });
                         y.store(1, order::relaxed);
                         fence(order::acq_rel);
                         b = x.load(order::relaxed);
                         t.join();
                         check(a == 1 || b == 1, "both missed");
                       }),
               "both missed");
}

/// Message passing: does who sees the flag see the data?
model::result message_passing(std::memory_order store, std::memory_order load) {
  return explore(wide, [=] {
    integer data(0), flag(0);
    model::thread t([&] {
      data.store(1, order::relaxed);
      flag.store(1, store);
    });
    if (flag.load(load) == 1) check(data.load(order::relaxed) == 1, "the data came late");
  });
}

TEST(litmus, message_passing_needs_release_and_acquire) {
  expect_passes(message_passing(order::release, order::acquire));
  expect_passes(message_passing(order::seq_cst, order::seq_cst));
  expect_fails(message_passing(order::relaxed, order::acquire), "came late");
  expect_fails(message_passing(order::release, order::relaxed), "came late");
  expect_fails(message_passing(order::relaxed, order::relaxed), "came late");
}

model::result fenced_message_passing(std::memory_order first, std::memory_order second) {
  return explore(wide, [=] {
    integer flag(0);
    model::var<int> data(0);
    model::thread t([&] {
      data.set(1);
      fence(first);
      flag.store(1, order::relaxed);
    });
    if (flag.load(order::relaxed) == 1) {
      fence(second);
      check(data.get() == 1, "the data came late");
    }
  });
}
TEST(litmus, fences_pass_messages) {
  expect_passes(fenced_message_passing(order::release, order::acquire));
  expect_passes(fenced_message_passing(order::seq_cst, order::seq_cst));
  expect_passes(fenced_message_passing(order::acq_rel, order::acq_rel));
  expect_fails(fenced_message_passing(order::acquire, order::acquire), "data race");
  expect_fails(fenced_message_passing(order::release, order::release), "data race");
}

TEST(litmus, reads_of_one_location_do_not_go_back) {
  expect_passes(explore(wide, [] {
    integer x(0);
    model::thread t([&] {
      x.store(1, order::relaxed);
      x.store(2, order::relaxed);
    });
    const int a = x.load(order::relaxed);
    const int b = x.load(order::relaxed);
    check(a <= b, "an older value after a newer one");
  }));
}
TEST(litmus, reads_may_be_late) {
  expect_fails(explore(wide,
                       [] {
                         integer x(0), seen(0);
                         model::thread t([&] {
                           x.store(1, order::relaxed);
                           seen.store(1, order::relaxed);
                         });
                         if (seen.load(order::relaxed)) check(x.load(order::relaxed) == 1, "late");
                       }),
               "late");
}

/// Independent reads of independent writes: do all agree on which write came first?
model::result independent_reads(std::memory_order stores, std::memory_order loads) {
  return explore(bounds{4, 4, 0, 5000, 20'000'000}, [=] {
    integer x(0), y(0);
    int a = 0, b = 0, c = 0, d = 0;
    model::thread wx([&] { x.store(1, stores); });
    model::thread wy([&] { y.store(1, stores); });
    model::thread r([&] {
      a = x.load(loads);
      b = y.load(loads);
    });
    c = y.load(loads);
    d = x.load(loads);
    wx.join(), wy.join(), r.join();
    check(!(a == 1 && b == 0 && c == 1 && d == 0), "the readers disagree");
  });
}
TEST(litmus, independent_reads_agree_only_if_seq_cst) {
  expect_passes(independent_reads(order::seq_cst, order::seq_cst));
  expect_fails(independent_reads(order::release, order::acquire), "disagree");
}

TEST(litmus, causality_is_transitive) {
  expect_passes(explore(wide, [] {
    integer x(0), y(0);
    model::var<int> data(0);
    model::thread t([&] {
      data.set(1);
      x.store(1, order::release);
    });
    model::thread u([&] {
      if (x.load(order::acquire) == 1) y.store(1, order::release);
    });
    if (y.load(order::acquire) == 1) check(data.get() == 1, "late");
  }));
}

/// A release sequence: the acquirer reads what another thread's read-modify-write made of the released value.
model::result release_sequence(bool by_modification) {
  return explore(wide, [=] {
    integer flag(0);
    model::var<int> data(0);
    model::thread t([&] {
      data.set(1);
      flag.store(1, order::release);
    });
    model::thread u([&] {
      if (by_modification) {
        flag.fetch_add(1, order::relaxed);
      } else if (flag.load(order::relaxed) == 1) {
        flag.store(2, order::relaxed);
      }
    });
    if (flag.load(order::acquire) == 2) check(data.get() == 1, "late");
  });
}
TEST(litmus, only_modifications_continue_a_release_sequence) {
  expect_passes(release_sequence(true));
  expect_fails(release_sequence(false), "data race");
}
TEST(litmus, a_relaxed_store_of_the_same_thread_ends_the_release_sequence) {  // since C++20
  expect_fails(explore(wide,
                       [] {
                         integer flag(0);
                         model::var<int> data(0);
                         model::thread t([&] {
                           data.set(1);
                           flag.store(1, order::release);
                           flag.store(2, order::relaxed);
                         });
                         if (flag.load(order::acquire) == 2) static_cast<void>(data.get());
                       }),
               "data race");
}

/// Load buffering: may both loads return what the other thread stores after its own load?
model::result load_buffering(std::memory_order loads, std::memory_order stores) {
  return explore(wide, [=] {
    integer x(0), y(0);
    int a = 0, b = 0;
    model::thread t([&] {
      a = x.load(loads);
      y.store(1, stores);
    });
    b = y.load(loads);
    x.store(1, stores);
    t.join();
    check(!(a == 1 && b == 1), "both read the future");
  });
}
TEST(litmus, load_buffering_is_possible_with_relaxed_loads) {
  expect_fails(load_buffering(order::relaxed, order::relaxed), "both read the future");
  expect_passes(load_buffering(order::acquire, order::release));
  expect_passes(load_buffering(order::seq_cst, order::seq_cst));
}
TEST(litmus, what_was_read_before_a_hand_over_is_not_overwritten_by_its_receiver) {
  // A reader copies a slot and then frees it; the writer reuses it. Without the order the copy may be of the next value.
  const auto program = [](std::memory_order give, std::memory_order take) {
    return explore(wide, [=] {
      integer slot(1), freed(0);
      int copy = 0;
      model::thread reader([&] {
        copy = slot.load(order::relaxed);
        freed.store(1, give);
      });
      if (freed.load(take) == 1) slot.store(2, order::relaxed);
      reader.join();
      check(copy == 1, "the next value");
    });
  };
  expect_passes(program(order::release, order::acquire));
  expect_fails(program(order::relaxed, order::acquire), "the next value");
  expect_fails(program(order::release, order::relaxed), "the next value");
}
TEST(litmus, what_was_read_before_a_heavy_fence_is_not_what_is_stored_behind_it) {
  // A reader of RCU: it must not have the new number and the old pointer.
  const auto program = [](bool fenced) {
    return explore(wide, [=] {
      integer number(0), pointer(0);
      model::thread reader([&] {
        const int n = number.load(order::relaxed);
        runnel::shim::light_fence();
        check(n <= pointer.load(order::relaxed), "the new number and the old pointer");
      });
      pointer.store(1, order::relaxed);
      if (fenced) runnel::detail::heavy_fence();
      number.store(1, order::relaxed);
    });
  };
  expect_passes(program(true));
  expect_fails(program(false), "the new number and the old pointer");
}
TEST(litmus, nobody_goes_back_behind_what_was_read_of_the_future) {
  expect_passes(explore(wide, [] {
    integer x(0);
    model::thread t([&] { x.store(1, order::relaxed); });
    const int a = x.load(order::relaxed);
    const int b = x.load(order::acquire);
    int expected = 7;
    x.compare_exchange(expected, 7, order::relaxed, order::relaxed);
    check(a <= b && b <= expected, "an older value after a newer one");
  }));
}
TEST(litmus, nothing_comes_out_of_thin_air) {
  expect_passes(explore(wide, [] {
    integer x(0), y(0);
    int a = 0, b = 0;
    model::thread t([&] {
      a = x.load(order::relaxed);
      y.store(a, order::relaxed);
    });
    b = y.load(order::relaxed);
    x.store(b, order::relaxed);
    t.join();
    check(a == 0 && b == 0, "a value that nobody made");
  }));
}
TEST(litmus, a_promise_that_is_not_kept_is_no_execution) {
  expect_passes(explore(wide, [] {
    integer x(0), y(0);
    int a = 0;
    model::thread t([&] {
      a = x.load(order::relaxed);
      y.store(a == 0 ? 1 : 0, order::relaxed);
    });
    if (y.load(order::relaxed) == 1) x.store(1, order::relaxed);  // only if a is 0
    t.join();
    check(a == 0, "it would have stored nothing");
  }));
}

TEST(litmus, modifications_lose_nothing) {
  expect_passes(explore(wide, [] {
    integer x(0);
    model::thread t([&] { x.fetch_add(1, order::relaxed); });
    model::thread u([&] { x.fetch_add(1, order::relaxed); });
    x.fetch_add(1, order::relaxed);
    t.join(), u.join();
    check(x.load(order::relaxed) == 3, "a lost update");
  }));
  expect_fails(explore(wide,
                       [] {
                         integer x(0);
                         model::thread t([&] { x.store(x.load(order::relaxed) + 1, order::relaxed); });
                         x.store(x.load(order::relaxed) + 1, order::relaxed);
                         t.join();
                         check(x.load(order::relaxed) == 2, "a lost update");
                       }),
               "a lost update");
}

TEST(litmus, a_failing_compare_exchange_has_its_own_order) {
  const auto program = [](std::memory_order failure) {
    return explore(wide, [=] {
      integer flag(0);
      model::var<int> data(0);
      model::thread t([&] {
        data.set(1);
        flag.store(1, order::release);
      });
      int expected = 7;
      if (!flag.compare_exchange(expected, 8, order::acquire, failure) && expected == 1) static_cast<void>(data.get());
    });
  };
  expect_passes(program(order::acquire));
  expect_fails(program(order::relaxed), "data race");
}

TEST(litmus, a_compare_exchange_may_fail_with_an_old_value_but_succeeds_only_with_the_newest) {
  expect_fails(explore(wide,
                       [] {
                         integer x(0), seen(0);
                         model::thread t([&] {
                           x.store(1, order::relaxed);
                           seen.store(1, order::relaxed);
                         });
                         if (!seen.load(order::relaxed)) return;
                         int expected = 1;
                         check(x.compare_exchange(expected, 2, order::relaxed, order::relaxed), "failed with an old value");
                       }),
               "failed with an old value");
  expect_passes(explore(wide, [] {
    integer x(0);
    int winners = 0;
    model::thread t([&] {
      int expected = 0;
      if (x.compare_exchange(expected, 1, order::relaxed, order::relaxed)) ++winners;
    });
    int expected = 0;
    const bool won = x.compare_exchange(expected, 2, order::relaxed, order::relaxed);
    t.join();
    check(winners + (won ? 1 : 0) == 1, "not exactly one winner");
  }));
}

// ---- mutual exclusion ------------------------------------------------------------------------------------------

/// Peterson's lock for two threads.
model::result peterson(std::memory_order stores, std::memory_order loads) {
  return explore(bounds{4, 4, 0, 2000, 3'000'000}, [=] {
    integer wants[2]{integer(0), integer(0)}, turn(0);
    model::var<int> shared(0);
    const auto section = [&](int me) {
      wants[me].store(1, stores);
      turn.store(1 - me, stores);
      while (wants[1 - me].load(loads) == 1 && turn.load(loads) == 1 - me) runnel::shim::spin_pause();
      shared.set(shared.get() + 1);
      wants[me].store(0, order::release);
    };
    model::thread t([&] { section(0); });
    section(1);
    t.join();
    check(shared.get() == 2, "an update was lost");
  });
}
TEST(exclusion, peterson_needs_seq_cst) {
  expect_passes(peterson(order::seq_cst, order::seq_cst));
  expect_fails(peterson(order::release, order::acquire), "data race");
}

/// Dekker's entry alone: at most one gets in.
model::result dekker(bool fenced) {
  return explore(wide, [=] {
    integer wants[2]{integer(0), integer(0)};
    model::var<int> shared(0);
    const auto attempt = [&](int me) {
      wants[me].store(1, order::relaxed);
      if (fenced) fence(order::seq_cst);
      if (wants[1 - me].load(order::relaxed) == 0) shared.set(me);
    };
    model::thread t([&] { attempt(0); });
    attempt(1);
  });
}
TEST(exclusion, dekker_needs_fences) {
  expect_passes(dekker(true));
  expect_fails(dekker(false), "data race");
}

model::result spin_lock(std::memory_order lock, std::memory_order unlock, bool atomically) {
  return explore(bounds{3, 3, 0, 2000, 3'000'000}, [=] {
    integer locked(0);
    model::var<int> shared(0);
    const auto section = [&] {
      for (;;) {
        if (atomically) {
          if (locked.exchange(1, lock) == 0) break;
        } else if (locked.load(lock) == 0) {  // another may come in between
          locked.store(1, order::relaxed);
          break;
        }
        runnel::shim::spin_pause();
      }
      shared.set(shared.get() + 1);
      locked.store(0, unlock);
    };
    model::thread t([&] { section(); });
    section();
    t.join();
    check(shared.get() == 2, "an update was lost");
  });
}
TEST(exclusion, a_spin_lock) {
  expect_passes(spin_lock(order::acquire, order::release, true));
  expect_fails(spin_lock(order::relaxed, order::release, true), "data race");
  expect_fails(spin_lock(order::acquire, order::relaxed, true), "data race");
  expect_fails(spin_lock(order::acquire, order::release, false), "data race");
}

// ---- plain memory ----------------------------------------------------------------------------------------------

TEST(plain, a_race_is_found_whatever_the_order_of_execution) {
  const bounds no_switches{0, 0, 0, 1000, 1000};
  expect_fails(explore(no_switches,
                       [] {
                         model::var<int> x(0);
                         model::thread t([&] { x.set(1); });
                         x.set(2);
                       }),
               "data race");
  expect_fails(explore(no_switches,
                       [] {
                         model::var<int> x(0);
                         model::thread t([&] { x.set(1); });
                         static_cast<void>(x.get());
                       }),
               "data race");
}
TEST(plain, start_and_join_order_and_reads_do_not_race) {
  expect_passes(explore(wide, [] {
    model::var<int> x(0), y(0);
    x.set(1);
    model::thread t([&] { y.set(x.get()); });
    static_cast<void>(x.get());
    t.join();
    check(y.get() == 1, "late");
  }));
}

#if defined(RUNNEL_MODEL_PLAIN)
TEST(plain, ordinary_variables_are_watched) {
  expect_fails(explore(wide,
                       [] {
                         int x = 0;
                         model::thread t([&] { x = 1; });
                         x = 2;
                         t.join();
                       }),
               "data race");
  expect_passes(explore(wide, [] {
    struct {
      char a = 0, b = 0;
    } neighbours;
    model::thread t([&] { neighbours.a = 1; });
    neighbours.b = 1;
    t.join();
    check(neighbours.a == 1, "late");
  }));
}
TEST(plain, freeing_races_with_use) {
  expect_fails(explore(wide,
                       [] {
                         integer flag(0);
                         auto p = std::make_unique<int>(0);
                         model::thread t([&] {
                           *p = 1;
                           flag.store(1, order::relaxed);
                         });
                         if (flag.load(order::acquire)) p.reset();
                         t.join();
                       }),
               "data race");
}
#endif

#if !defined(RUNNEL_ASAN)  // which reports it first
TEST(plain, a_crash_is_a_failure_with_its_steps) {
  expect_fails(explore(wide,
                       [] {
                         runnel::shim::atomic<volatile int*> p(nullptr);
                         static int x = 0;
                         model::thread t([&] { p.store(&x, order::release); });
                         static_cast<void>(*p.load(order::acquire));
                       }),
               "crashed");
}
#endif

// ---- lives of atomics ------------------------------------------------------------------------------------------

TEST(lives, an_atomic_may_not_end_while_another_thread_uses_it) {
  const auto program = [](std::memory_order unlock) {
    return explore(wide, [=] {
      auto flag = std::make_unique<integer>(0);
      integer* raw = flag.get();
      integer done(0);
      model::thread t([&] {
        raw->store(1, order::relaxed);
        done.store(1, unlock);
      });
      if (done.load(order::acquire)) flag.reset();
      t.join();
    });
  };
  expect_passes(program(order::release));
  expect_fails(program(order::relaxed), "ends in a race");
}
TEST(lives, an_atomic_may_not_be_published_relaxed) {
  const auto program = [](std::memory_order publish) {
    return explore(wide, [=] {
      runnel::shim::atomic<integer*> published(nullptr);
      std::unique_ptr<integer> owner;
      model::thread t([&] {
        owner = std::make_unique<integer>(1);
        published.store(owner.get(), publish);
      });
      if (integer* p = published.load(order::acquire)) check(p->load(order::relaxed) == 1, "not made yet");
    });
  };
  expect_passes(program(order::release));
  expect_fails(program(order::relaxed), "race");
}

// ---- blocking --------------------------------------------------------------------------------------------------

TEST(blocking, a_wake_up_that_is_not_lost) {
  expect_passes(explore(wide, [] {
    word ready(0);
    model::var<int> data(0);
    model::thread t([&] {
      while (ready.load(order::acquire) == 0) futex_wait(ready, 0);
      check(data.get() == 1, "late");
    });
    data.set(1);
    ready.store(1, order::release);
    futex_wake(ready, 1);
  }));
}
TEST(blocking, a_wake_up_before_the_store_is_lost) {
  expect_fails(explore(wide,
                       [] {
                         word ready(0);
                         model::thread t([&] {
                           while (ready.load(order::acquire) == 0) futex_wait(ready, 0);
                         });
                         futex_wake(ready, 1);
                         ready.store(1, order::release);
                       }),
               "deadlock");
}
TEST(blocking, one_wake_up_for_two_is_too_few) {
  expect_fails(explore(wide,
                       [] {
                         word ready(0);
                         const auto wait = [&] {
                           while (ready.load(order::acquire) == 0) futex_wait(ready, 0);
                         };
                         model::thread t(wait);
                         model::thread u(wait);
                         ready.store(1, order::release);
                         futex_wake(ready, 1);
                       }),
               "deadlock");
}
TEST(blocking, sleepers_and_wakers_that_look_crosswise_need_fences) {
  const auto program = [](bool fenced) {
    return explore(wide, [=] {
      word value(0), sleepers(0);
      model::thread t([&] {
        sleepers.store(1, order::relaxed);
        if (fenced) fence(order::seq_cst);
        if (value.load(order::relaxed) == 0) futex_wait(sleepers, 1);
      });
      value.store(1, order::relaxed);
      if (fenced) fence(order::seq_cst);
      if (sleepers.load(order::relaxed) == 1) {
        sleepers.store(0, order::relaxed);
        futex_wake(sleepers, 1);
      }
    });
  };
  expect_passes(program(true));
  expect_fails(program(false), "deadlock");
}
TEST(blocking, two_locks_in_two_orders) {
  expect_fails(explore(wide,
                       [] {
                         word a(0), b(0);
                         const auto take = [](word& w) {
                           std::uint32_t free = 0;
                           while (!w.compare_exchange(free, 1, order::acquire, order::relaxed)) {
                             free = 0;
                             futex_wait(w, 1);
                           }
                         };
                         const auto leave = [](word& w) {
                           w.store(0, order::release);
                           futex_wake(w, 1);
                         };
                         model::thread t([&] {
                           take(a), take(b);
                           leave(a), leave(b);
                         });
                         take(b), take(a);
                         leave(a), leave(b);
                       }),
               "deadlock");
}
TEST(blocking, waits_with_a_deadline_end) {
  int outcomes = 0;
  expect_passes(explore(wide, [&] {
    word ready(0);
    model::thread t([&] {
      ready.store(1, order::release);
      futex_wake(ready, 1);
    });
    while (ready.load(order::acquire) == 0) {
      if (!futex_wait(ready, 0, runnel::time_point{})) {
        outcomes |= 1;
        return;
      }
    }
    outcomes |= 2;
  }));
  EXPECT_EQ(outcomes, 3);
}
TEST(blocking, a_wait_that_relies_on_being_woken_only_once_is_found) {
  expect_fails(explore(bounds{2, 2, 1, 1000, 1000},
                       [] {
                         word ready(0);
                         model::thread t([&] {
                           futex_wait(ready, 0);
                           check(ready.load(order::relaxed) == 1, "woken for no reason");
                         });
                         ready.store(1, order::relaxed);
                         futex_wake(ready, 1);
                       }),
               "woken for no reason");
}
TEST(blocking, loops_without_end) {
  expect_fails(explore(bounds{2, 2, 0, 1000, 1000},
                       [] {
                         integer x(0);
                         while (x.load(order::relaxed) == 0) runnel::shim::spin_pause();
                       }),
               "no end");
  expect_passes(explore(bounds{2, 2, 0, 1000, 100'000}, [] {
    integer x(0);
    model::thread t([&] { x.store(1, order::relaxed); });
    while (x.load(order::relaxed) == 0) runnel::shim::spin_pause();
  }));
}

// ---- structures ------------------------------------------------------------------------------------------------

/// A ring for one producer and one consumer.
model::result ring(std::memory_order publish, std::memory_order look, std::memory_order free_slot, std::uint32_t capacity) {
  return explore(bounds{3, 3, 0, 2000, 3'000'000}, [=] {
    word head(0), tail(0);
    model::var<int> slots[2];
    model::thread consumer([&] {
      std::uint32_t at = 0;
      while (at < 3) {
        if (tail.load(look) == at) {
          runnel::shim::spin_pause();
          continue;
        }
        check(slots[at % 2].get() == static_cast<int>(at) + 1, "wrong element");
        head.store(++at, free_slot);
      }
    });
    for (std::uint32_t n = 0; n < 3; ++n) {
      while (n - head.load(order::acquire) == capacity) runnel::shim::spin_pause();
      slots[n % 2].set(static_cast<int>(n) + 1);
      tail.store(n + 1, publish);
    }
  });
}
TEST(structures, a_ring) {
  expect_passes(ring(order::release, order::acquire, order::release, 2));
  expect_fails(ring(order::relaxed, order::acquire, order::release, 2), "data race");
  expect_fails(ring(order::release, order::relaxed, order::release, 2), "data race");
  expect_fails(ring(order::release, order::acquire, order::relaxed, 2), "data race");
  expect_fails(ring(order::release, order::acquire, order::release, 3), "wrong element");  // overwrites what is not read yet
}

// ---- exploration -----------------------------------------------------------------------------------------------

TEST(exploration, every_choice_is_tried) {
  unsigned seen = 0;
  const model::result r = explore(wide, [&] { seen |= 1u << (4 * model::choose(2) + model::choose(3)); });
  EXPECT_EQ(seen, 0x77u);
  EXPECT_EQ(r.executions, 6u);
}
TEST(exploration, a_cap_is_not_a_success) {
  const model::result r = explore(bounds{2, 2, 0, 100, 3}, [] { model::choose(10); });
  EXPECT_EQ(r.what, model::verdict::incomplete);
  EXPECT_EQ(r.executions, 3u);
}
TEST(exploration, the_bound_on_preemptions_is_kept) {
  // Two switches away from a thread that could go on are needed to see this.
  const auto program = [](std::uint32_t preemptions) {
    return explore(bounds{preemptions, 0, 0, 1000, 100'000}, [] {
      integer x(0), y(0);
      model::thread t([&] {
        x.store(1, order::relaxed);
        y.store(x.load(order::relaxed), order::relaxed);
      });
      x.store(2, order::relaxed);
      x.store(3, order::relaxed);
      const int seen = y.load(order::relaxed);
      t.join();
      check(seen != 2, "seen");
    });
  };
  expect_passes(program(0));
  expect_passes(program(1));
  expect_fails(program(3), "seen");
}
TEST(exploration, a_program_that_depends_on_something_else_is_reported) {
  int runs = 0;
  expect_fails(explore(wide, [&] { model::choose(++runs > 1 ? 3 : 2); }), "does not do the same");
}
TEST(exploration, a_failure_shows_its_steps) {
  const model::result r = store_buffering(order::relaxed, order::relaxed, false);
  EXPECT_NE(r.message.find("checker_model_test.cpp"), std::string::npos);
  EXPECT_NE(r.message.find("stores #0 relaxed = 1"), std::string::npos) << r.message;
}

}  // namespace
