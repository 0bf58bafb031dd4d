// The loop of a worker, and the two ends of a switch.
//
// Invariants
//  1. A fiber is in at most one queue, or running, or parked. Whoever claimed its waiter makes it runnable once.
//  2. A fiber's saved_sp is null from the moment a worker decides to resume it until runnel_switch has saved it
//     again. A worker that takes a fiber with a null saved_sp from a queue puts it back: its old worker is between
//     "made runnable" and "off its stack", a few instructions that do not depend on the taker.
//  3. What follows the fiber and not the thread (exceptions in flight, errno) is saved by the fiber on its stack before it
//     leaves and restored by it when it is back, so nobody touches a fiber that has left its stack.
//  4. A fiber that ends goes back to the loop, on whose stack its stack is given back and its end is told. So does one
//     whenever the loop has something to do: look at the shared sources at its turn, stop, search.
#include "sched/worker.hpp"

#include "base/futex.hpp"
#include "fiber/switch.hpp"
#include "sched/fiber_pool.hpp"
#include "sched/fork.hpp"
#include "sched/monitor.hpp"
#include "sched/poll.hpp"
#include "sched/runtime.hpp"
#include "sched/signal_stack.hpp"
#include "sched/world.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/base/random.hpp>

#include <cxxabi.h>
#include <sched.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace runnel::inline RUNNEL_ABI::sched {

void worker::main() noexcept {
  set_this_worker(this);
  exceptions_ = reinterpret_cast<exception_state*>(abi::__cxa_get_globals());
  errno_ = detail::errno_address();
  detail::sanitizer::adopt_thread(sanitizer_, errno_);
  signal_stack alternate;
  while (fiber* f = find_work()) {
    execute(f);
    if (left_to_its_fiber()) {
      set_this_worker(nullptr);
      if (in_forked_child()) detail::fatal("the function of a fiber has returned in a forked child: call exec or _exit there");
      return;
    }
  }
  if (searching) {
    searching = false;
    runtime_.idle.end_search();
  }
  set_this_worker(nullptr);
  std::uint32_t running_yet = 0;
  // release: pairs with wait_ended()
  if (ended_.compare_exchange(running_yet, ended, shim::order::release, shim::order::relaxed)) detail::futex_wake(ended_, 1);
}

bool worker::wait_ended(time_point deadline, std::chrono::nanoseconds extension) noexcept {
  std::uint32_t seen;
  // acquire: pairs with the end of main()
  while ((seen = ended_.load(shim::order::acquire)) != ended) {
    if (detail::futex_wait(ended_, seen, deadline)) continue;
    if (extension.count() != 0 && !running()) {
      deadline += extension;
      continue;
    }
    seen = 0;
    // acquire: it has ended after all, as above; on success, it is told that it was left behind, nothing is needed
    return !ended_.compare_exchange(seen, left_behind, shim::order::acquire, shim::order::acquire);
  }
  return true;
}

/// Whether the tail of the own ring is behind everything that is waiting, so that no fiber runs twice before another has
/// run once.
bool worker::yields_to_own_queue() const noexcept { return !runtime_.injected() && !left_to_its_fiber(); }

/// f, which has left its stack, is about to run here.
void worker::takes_up(fiber& f) noexcept {
  f.saved_sp.store(nullptr, shim::order::relaxed);             // relaxed: only we hold the fiber
  f.state.store(fiber_state::running, shim::order::relaxed);   // relaxed: for reports
  ticks_.store(ticks() + 1, shim::order::relaxed);             // relaxed: owner-only writes, read as a hint
  running_.store(&f, shim::order::relaxed);                    // relaxed: owner-only writes, read as a hint
  f.operations_left = agent::operations_a_turn;
}

/// On the stack of `self`, right after it was switched to: what follows it is this thread's now.
void worker::arrived(detail::sanitizer::context& self, const carried& state) noexcept {
  detail::sanitizer::after_switch(self, sanitizer_, from_loop_);
  *exceptions_ = state.exceptions;
  *errno_ = state.error;
}

void worker::execute(fiber* f) noexcept {
  void* sp = f->saved_sp.load(shim::order::acquire);  // acquire: pairs with the store in runnel_switch
  if (!sp) {                                          // still leaving its stack elsewhere (invariant 2)
    push_tail(f);
    sched_yield();
    return;
  }
  if (f->state.load(shim::order::relaxed) == fiber_state::abandoned) return;  // relaxed: written while nobody ran
  if (sp == not_begun()) sp = begin_fiber(*f, fibers);
  takes_up(*f);
  from_loop_ = true;
  detail::sanitizer::before_switch(sanitizer_, f->sanitizer, false);
  runnel_switch(&loop_sp_, sp);
  detail::sanitizer::after_switch(sanitizer_, sanitizer_, false);
  // The one that has come back here, perhaps not the one that was sent out. It may already run elsewhere; only when it
  // said what to do with it is it still ours.
  f = running();
  *exceptions_ = {};
  running_.store(nullptr, shim::order::relaxed);  // relaxed: as above
  const afterwards what = std::exchange(afterwards_, afterwards::nothing);
  if (what == afterwards::requeue) {
    if (yields_to_own_queue()) {
      push_tail(f);
    } else {
      runtime_.inject(f, f, 1);
    }
  } else if (what == afterwards::recycle) {
    job& done = *f->work.load(shim::order::relaxed);  // relaxed: written before it began
    world* const bubble = f->lives_in;
    release_fiber(f);
    done.finished(done);
    if (bubble) bubble->member_ended();
  }
}

/// Who can run after the present fiber without a look at anything but the own queue; null: that is for the loop.
fiber* worker::successor() noexcept {
  if (ticks() % fairness_interval == 0 || runtime_.stopping() || left_to_its_fiber()) return nullptr;
  fiber* f = next_local();
  if (!f || f == running()) return f;
  // acquire: pairs with the store in runnel_switch
  if (f->saved_sp.load(shim::order::acquire) && f->state.load(shim::order::relaxed) != fiber_state::abandoned)  // relaxed: as in execute()
    return f;
  push_tail(f);  // the loop knows what to do with it
  return nullptr;
}

namespace {
[[noreturn, gnu::cold, gnu::noinline]] void refuse_to_leave(const fiber& f, afterwards what) noexcept {
  if (what == afterwards::recycle)
    detail::fatal("a fiber ends inside an RCU read section: give back each guard of rcu<T> before, and call unlock() as often "
                  "as lock()");
  refuse_to_wait_in_section(f);
}
}  // namespace

void worker::leave(fiber& f, afterwards what) noexcept {
  if (f.checks_stack) check_stack(f);
  worker* w = this_worker();
  if constexpr (!detail::exploring)
    if (w->in_read_section()) [[unlikely]] refuse_to_leave(f, what);
  if (w->lane.in_use) [[unlikely]] w->leave_lane();
  fiber* next = nullptr;
  if (what == afterwards::requeue && w->yields_to_own_queue()) {
    w->push_tail(&f);
    what = afterwards::nothing;
  }
  if (what == afterwards::nothing) next = w->successor();
  if (next == &f) {  // it was woken, or nobody else wants to run
    w->ticks_.store(w->ticks() + 1, shim::order::relaxed);       // relaxed: as in takes_up()
    f.state.store(fiber_state::running, shim::order::relaxed);  // relaxed: for reports
    f.operations_left = agent::operations_a_turn;
    return;
  }
  const carried mine{*w->exceptions_, *w->errno_};
  void* to = w->loop_sp_;
  if (next) {
    to = next->saved_sp.load(shim::order::relaxed);  // relaxed: acquired by successor()
    if (to == not_begun()) to = begin_fiber(*next, w->fibers);
    w->takes_up(*next);
  } else {
    w->afterwards_ = what;
  }
  w->from_loop_ = false;
  detail::sanitizer::before_switch(f.sanitizer, next ? next->sanitizer : w->sanitizer_, what == afterwards::recycle);
  runnel_switch(static_cast<void**>(const_cast<void*>(f.saved_sp.address())), to);
  this_worker()->arrived(f.sanitizer, mine);  // perhaps another worker
}

bool unwinding(const agent& a) noexcept {
  return a.is_fiber ? this_worker()->unwinding() : std::uncaught_exceptions() > 0;
}

extern "C" void runnel_fiber_main(void* argument) noexcept {
  auto& f = *static_cast<fiber*>(argument);
  this_worker()->arrived(f.sanitizer, {});
  job& work = *f.work.load(shim::order::relaxed);  // relaxed: as in execute()
  work.run(work);
  if constexpr (detail::exploring)
    if (in_read_section(f)) refuse_to_leave(f, afterwards::recycle);
  worker::leave(f, afterwards::recycle);
  __builtin_unreachable();
}

void worker::push_next(fiber* f) noexcept {
  // A lone successor wakes nobody: this worker runs it within microseconds, a wake-up would cost more.
  if (fiber* kicked = queue.put_next(f)) {
    push_tail(kicked);
    if (runtime_.workers() > 1) runtime_.idle.notify();  // else there is nobody: this is the only one
  }
}

void worker::push_tail(fiber* f) noexcept {
  if (!queue.push(f)) push_into_full(f);
}

/// A function of its own: what it needs of the stack would else be needed of every fiber's.
void worker::push_into_full(fiber* f) noexcept {
  do {
    std::uint32_t n = 0;
    fiber* first = queue.take_half(n);
    if (!first) continue;  // a thief made room
    fiber* last = first;
    while (last->next) last = last->next;
    last->next = f;
    runtime_.inject(first, f, n + 1);
    return;
  } while (!queue.push(f));
}

void worker::push_new(fiber* f) noexcept {
  while (!spawned.push(f)) {  // the older half goes where all find it
    fiber* last = nullptr;
    std::uint64_t n = 0;
    if (fiber* first = spawned.take_half(last, n)) runtime_.inject(first, last, n);
  }
  // As in push_next(): the first one of its kind is begun here within microseconds.
  if (spawned.size() > 1 && runtime_.workers() > 1) runtime_.idle.notify();
}

/// A fiber that has not begun yet, or null.
fiber* worker::next_new() noexcept {
  if (spawned.empty() || (new_run_ >= new_in_a_row && !queue.empty())) return nullptr;
  // The newest; at its turn the oldest, which would wait for ever behind a chain of fibers that each start the next.
  fiber* f = ticks() % fairness_interval == 0 ? spawned.steal() : spawned.pop();
  if (f) ++new_run_;
  return f;
}

fiber* worker::next_local() noexcept {
  if (next_run_ < next_in_a_row) {
    if (queue.has_next()) {
      if (fiber* f = queue.exchange_next(nullptr)) {
        ++next_run_;
        return f;
      }
    }
  } else if (queue.has_next()) {  // its turns are used up: to the back of the ring
    if (fiber* f = queue.exchange_next(nullptr)) push_tail(f);
  }
  next_run_ = 0;
  // New ones first, so that whoever yields is behind them.
  if (fiber* f = next_new()) return f;
  new_run_ = 0;
  return queue.pop();
}

/// Timers that are due and descriptors that are ready.
void worker::poll_shared() noexcept {
  run_due_timers();
  poll_descriptors();
}

fiber* worker::steal() noexcept {
  const unsigned n = runtime_.workers();
  for (int round = 0; round < sizes::steal_rounds; ++round) {
    const unsigned start = detail::random_below(n);
    for (unsigned i = 0; i < n; ++i) {
      worker& victim = runtime_.at((start + i) % n);
      if (&victim == this) continue;
      fiber* f = queue.steal_from(victim.queue);
      if (!f) f = steal_new(victim);
      if (!f) f = steal_branch(victim);
      if (f) {
        steals_.store(steals() + 1, shim::order::relaxed);  // relaxed: owner-only statistic
        return f;
      }
    }
    if (runtime_.injected()) break;
    shim::spin_pause();
  }
  return nullptr;
}

/// Moves some of the victim's fibers that have not begun here, the oldest ones, and returns one of them, or null. The own
/// deque is empty.
fiber* worker::steal_new(worker& victim) noexcept {
  fiber* f = victim.spawned.steal();
  for (std::uint64_t n = std::min<std::uint64_t>(victim.spawned.size() / 2, most_stolen); f && n > 0; --n) {
    fiber* next = victim.spawned.steal();
    if (!next) break;
    spawned.push(f);
    f = next;
  }
  return f;
}

/// To be called with the fiber that ended a search.
fiber* worker::found(fiber* f) noexcept {
  if (searching) {
    searching = false;
    if (runtime_.idle.end_search()) {
      // seq_cst: "no longer searching, then look for more" against a producer's "work pushed, then searching read". The
      // decrement alone, of whatever order, does not keep the looks behind it from being earlier.
      shim::fence(shim::order::seq_cst);
      if (runtime_.work_visible()) runtime_.idle.notify();
    }
  }
  return f;
}

fiber* worker::find_work() noexcept {
  for (;;) {
    if (runtime_.stopping()) return nullptr;
    if (ticks() % fairness_interval == 0) {
      poll_shared();
      runtime_.refill(*this);
      begin_listed();
    }
    if (fiber* f = next_local()) return found(f);
    runtime_.refill(*this);
    poll_shared();
    if (fiber* f = next_local()) return found(f);
    begin_listed();
    if (fiber* f = next_new()) return found(f);
    if (searching || (searching = runtime_.idle.begin_search(runtime_.workers()))) {
      if (fiber* f = steal()) return found(f);
    }
    if (go_idle()) {
      if (!searching) {  // what was seen must be found: no throttle here, or this worker would spin outside the protocol
        runtime_.idle.join_search();
        searching = true;
      }
      continue;
    }
    sleep();
    monitor_note_activity();
  }
}

/// Enters the idle set. True when there is something to do after all.
bool worker::go_idle() noexcept {
  const bool searched = std::exchange(searching, false);  // from enter() on it belongs to whoever wakes this worker
  runtime_.idle.enter(*this);
  if (searched) runtime_.idle.end_search();
  shim::fence(shim::order::seq_cst);  // seq_cst: "idle, then the last look", see idle_set.hpp
  if (!runtime_.work_visible() && !runtime_.stopping()) {
    notice_idleness();
    return false;
  }
  // Taken by a producer meanwhile: its wake-up is on its way and must be consumed.
  return runtime_.idle.withdraw(*this);
}

void worker::sleep() noexcept {
  if (try_enter_poller()) {
    std::uint32_t expected = awake;
    // relaxed: the value decides; a notification that came first is consumed, and acquired, below
    if (word_.compare_exchange(expected, in_poller, shim::order::relaxed, shim::order::relaxed)) wait_in_poller();
    leave_poller();
    // Whatever ended the wait, this worker is awake; a wake() from now on leaves its notification in the word.
    if (runtime_.idle.withdraw(*this)) {
      std::uint32_t asleep = in_poller;
      // relaxed: nobody can notify a worker that is not in the set
      word_.compare_exchange(asleep, awake, shim::order::relaxed, shim::order::relaxed);
      return;
    }
    // Taken: wait for the notification itself, which may be a few instructions away.
    // acquire: pairs with wake()
    while (word_.load(shim::order::acquire) != notified) shim::spin_pause();
    word_.store(awake, shim::order::relaxed);  // relaxed: only the owner leaves `notified`
    return;
  }
  for (;;) {
    std::uint32_t expected = awake;
    // relaxed: as above
    if (word_.compare_exchange(expected, in_futex, shim::order::relaxed, shim::order::relaxed) ||
        expected == in_futex) {
      detail::futex_wait(word_, in_futex);
    }
    if (word_.load(shim::order::acquire) == notified) {  // acquire: pairs with wake()
      word_.store(awake, shim::order::relaxed);          // relaxed: only the owner leaves `notified`
      return;
    }
  }
}

void worker::wake() noexcept {
  // release: hands `searching` and the work over; what it returns tells how the worker sleeps, and nothing else
  switch (word_.exchange(notified, shim::order::release)) {
    case in_futex: detail::futex_wake(word_, 1); break;
    case in_poller: kick_poller(); break;
    default: break;
  }
}

}  // namespace runnel::inline RUNNEL_ABI::sched
