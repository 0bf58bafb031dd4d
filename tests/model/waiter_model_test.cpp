// One wait: exactly one party ends it, whoever they are, and its wake-up is not lost.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include <runnel/sched/timer.hpp>
#include <runnel/sched/waiter.hpp>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using runnel::never;
using runnel::time_point;
using runnel::detail::raw_guard;
using runnel::detail::raw_lock;
using runnel::sched::claim_token;
using runnel::sched::granted;
using runnel::sched::park;
using runnel::sched::retry;
using runnel::sched::timed_out;
using runnel::sched::wait_node;
using runnel::sched::wait_queue;
using runnel::sched::wait_reason;
using runnel::sched::waiter;
using runnel::sched::wake_list;
using runnel::sched::was_canceled;

constexpr time_point soon{std::chrono::nanoseconds(1000)};

/// An object as all of them are: a lock, a condition, those who wait for it.
struct object {
  raw_lock lock;
  wait_queue queue;
  int condition = 0;

  /// Gives one unit to the first who waits, or keeps it.
  void give() {
    wake_list woken;
    {
      raw_guard hold(lock);
      if (wait_node* n = queue.claim_front()) {
        n->note = 1;
        woken.push(*n->owner);
      } else {
        ++condition;
      }
    }
    woken.wake_all();
  }
  /// Ends a wait without giving anything.
  bool end_as(claim_token token) {
    wake_list woken;
    bool ended = false;
    {
      raw_guard hold(lock);
      if (wait_node* n = queue.claim_front_as(token)) {
        woken.push(*n->owner);
        ended = true;
      }
    }
    woken.wake_all();
    return ended;
  }
  bool take_or_enqueue(wait_node& n) {
    raw_guard hold(lock);
    if (condition) {
      --condition;
      return true;
    }
    queue.push_back(n);
    return false;
  }
  void remove(wait_node& n) {
    raw_guard hold(lock);
    queue.remove(n);
  }
};

/// One wait for a unit; the token that ended it.
claim_token take(object& o, time_point deadline = never) {
  waiter w;
  wait_node n(w);
  if (o.take_or_enqueue(n)) return granted;
  const claim_token t = park(w, wait_reason::mutex_lock, &o, deadline);
  o.remove(n);
  check((n.note == 1) == (t == granted), "granted without a unit, or a unit without a grant");
  return t;
}

TEST(waiter, a_grant_is_not_lost) {
  expect_passes(explore(bounds{4, 2, 1}, [] {
    around::world w;
    object o;
    model::thread giver([&] { o.give(); });
    check(take(o) == granted, "granted");
    giver.join();
    check(o.condition == 0, "a unit is left");
  }));
}

TEST(waiter, what_the_giver_did_is_seen) {
  expect_passes(explore(bounds{4, 2}, [] {
    around::world w;
    waiter mine;
    wait_node n(mine);
    int value = 0;
    runnel::shim::atomic<int> registered(0);
    model::thread giver([&] {
      // acquire: pairs with the release below
      while (registered.load(runnel::shim::order::acquire) == 0) runnel::shim::spin_pause();
      if (mine.try_claim(granted)) {
        value = 1;
        mine.wake();
      }
    });
    registered.store(1, runnel::shim::order::release);  // release: the waiter is ready to be claimed
    check(park(mine, wait_reason::sleep, nullptr) == granted && value == 1, "late");
  }));
}

TEST(waiter, a_grant_and_a_cancellation_end_it_once) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    object o, c;
    model::thread giver([&] { o.give(); });
    bool canceled = false;
    model::thread canceler([&] { canceled = c.end_as(was_canceled); });
    waiter mine;
    wait_node unit(mine), cancellation(mine, was_canceled);
    claim_token t = granted;
    {
      raw_guard hold(c.lock);
      c.queue.push_back(cancellation);
    }
    if (!o.take_or_enqueue(unit)) t = park(mine, wait_reason::mutex_lock, &o);
    o.remove(unit);
    c.remove(cancellation);
    giver.join(), canceler.join();
    if (t == was_canceled) check(canceled && o.condition == 1, "the unit of a canceled wait is kept");
    if (t == granted) check(o.condition == 0, "a unit twice");
  }));
}

TEST(waiter, two_objects_end_it_once) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    object a, b;
    model::thread first([&] { a.give(); });
    model::thread second([&] { b.give(); });
    waiter mine;
    wait_node na(mine, 1), nb(mine, 2);
    claim_token t = 0;
    bool now = a.take_or_enqueue(na);
    if (!now) {
      raw_guard hold(b.lock);
      b.queue.push_back(nb);
    }
    if (!now) t = park(mine, wait_reason::select, nullptr);
    a.remove(na);
    b.remove(nb);
    first.join(), second.join();
    check(now || t == 1 || t == 2, "a token of ours");
    check(a.condition + b.condition == 1, "one unit is left");
    if (t == 1) check(na.note == 1 && nb.note == 0, "a's unit");
    if (t == 2) check(nb.note == 1 && na.note == 0, "b's unit");
  }));
}

TEST(waiter, a_time_out_and_a_grant_end_it_once) {
  int outcomes = 0;
  expect_passes(explore(bounds{4, 3}, [&] {
    around::world w;
    object o;
    model::thread giver([&] { o.give(); });
    const claim_token t = take(o, soon);
    giver.join();
    check(t == granted || t == timed_out, "one of the two");
    check(o.condition == (t == granted ? 0 : 1), "the unit is taken or kept");
    outcomes |= t == granted ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(waiter, no_permit_is_left_for_the_next_wait) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    object o;
    model::thread giver([&] {
      o.give();
      o.give();
    });
    int got = 0;
    for (int i = 0; i < 2; ++i) got += take(o, soon) == granted;
    giver.join();
    check(got + o.condition == 2, "a unit is lost, or there twice");
  }));
}

TEST(waiter, a_held_waiter_goes_back_or_is_ended) {
  // One holds it, cannot finish, and gives it back; another comes meanwhile, is refused and leaves. Nobody waits for ever.
  int outcomes = 0;
  expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    object o, c;
    model::thread holder([&] {
      wake_list woken;
      {
        raw_guard hold(o.lock);
        if (wait_node* n = o.queue.hold_front()) {
          if (n->owner->revert()) {
            woken.push(*n->owner);
          } else {
            o.queue.push_front(*n);
          }
        }
      }
      woken.wake_all();
    });
    model::thread other([&] { static_cast<void>(c.end_as(was_canceled)); });
    waiter mine;
    wait_node n(mine), cancellation(mine, was_canceled);
    {
      raw_guard hold(o.lock);
      o.queue.push_back(n);
    }
    claim_token t = 0;
    {
      raw_guard hold(c.lock);
      c.queue.push_back(cancellation);
    }
    // `other` may have come too early: then only the deadline ends the wait.
    t = park(mine, wait_reason::mutex_lock, &o, soon);
    o.remove(n);
    c.remove(cancellation);
    holder.join(), other.join();
    check(t == was_canceled || t == retry || t == timed_out, "nobody has granted anything");
    outcomes |= t == was_canceled ? 1 : t == retry ? 2 : 4;
  }));
  EXPECT_EQ(outcomes, 7);
}

TEST(waiter, a_refused_claim_is_not_forgotten) {
  // Without a deadline: the refused one was the only one who would have ended the wait.
  int outcomes = 0;
  expect_passes(explore(bounds{4, 3}, [&] {
    around::world w;
    waiter mine;
    runnel::shim::atomic<int> refused(0);
    model::thread holder([&] {
      if (!mine.try_hold()) return;
      if (mine.revert()) mine.wake();
    });
    model::thread other([&] {
      if (mine.try_claim(was_canceled)) mine.wake();
    });
    const claim_token t = park(mine, wait_reason::mutex_lock, nullptr);
    check(t == was_canceled || t == retry, "nobody has granted anything");
    outcomes |= t == retry ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(waiter, a_held_waiter_is_committed_whoever_was_refused) {
  expect_passes(explore(bounds{4, 3}, [] {
    around::world w;
    waiter mine;
    int value = 0;
    model::thread holder([&] {
      if (!mine.try_hold()) return;
      value = 1;
      mine.commit(granted);
      mine.wake();
    });
    model::thread other([&] {
      if (mine.try_claim(was_canceled)) mine.wake();
    });
    const claim_token t = park(mine, wait_reason::mutex_lock, nullptr);
    check(t == was_canceled || (t == granted && value == 1), "half a grant");
  }));
}

TEST(waiter, a_retry_waits_again) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 2}, [&] {
    around::world w;
    object o;
    waiter mine;
    wait_node n(mine);
    model::thread first([&] { static_cast<void>(o.end_as(retry)); });
    model::thread second([&] { o.give(); });
    int rounds = 0;
    for (;; mine.rearm(), ++rounds) {
      if (o.take_or_enqueue(n)) break;
      const claim_token t = park(mine, wait_reason::mutex_lock, &o);
      o.remove(n);
      if (t == granted) break;
      check(t == retry, "a token that nobody has given");
    }
    first.join(), second.join();
    check(o.condition == 0, "the unit is left");
    outcomes |= 1 << rounds;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(waiter, all_are_woken) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    object o;
    bool closed = false;
    const auto wait_for_close = [&] {
      waiter mine;
      wait_node n(mine);
      {
        raw_guard hold(o.lock);
        if (closed) return;
        o.queue.push_back(n);
      }
      check(park(mine, wait_reason::mutex_lock, &o) == granted, "granted");
      o.remove(n);
    };
    model::thread a(wait_for_close), b(wait_for_close);
    wake_list woken;
    {
      raw_guard hold(o.lock);
      closed = true;
      woken.claim_all(o.queue);
    }
    woken.wake_all();
  }));
}

}  // namespace
