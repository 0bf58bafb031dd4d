// Branches: where they lie, and who may run them.
//
// Invariants
//  1. The deque of a worker holds branches of the fiber that it runs, and of no other: they are put there by that fiber, and
//     whatever is left when it leaves its stack is moved to the list that all share (withdraw_branches). So no worker's deque
//     ever points into the frame of a fiber that went on elsewhere.
//  2. A fiber joins its branches in the reverse order of the forks. So the newest on its worker's deque is the one that it
//     joins, or that one was stolen, and all older ones before it.
//  3. Who took a branch out of a deque or of the list is the only one who may run it: the deque's compare-exchange decides, or
//     the list's lock. The owner finds by its own `where` in which of the two to look; only the owner changes that, at the fork
//     and when it leaves its stack. Who leaves its stack ends a turn of the lane, if it had a place there: a branch that is said
//     to lie on a deque, but not since this turn of the lane, was stolen.
//  4. The frame of a branch that was taken stays until its word is `ended` or `returned`: its owner waits for that.
// Table of the word, from the moment that somebody else has taken the branch:
//   running --owner, join()--> awaited        running, awaited --taker, finished()--> ended
//   running, awaited --taker, no fiber for it, hand_back()--> returned: the owner runs it
// The taker's last access is that exchange, or, where it found `awaited`, the wake-up.
//
// No lost branch. One on a deque is run by its owner at the latest, which comes to it or leaves its stack; when it leaves it, the
// branch is in the list and a worker is told, behind the fence of the idle protocol (idle_set.hpp). The first one on an empty deque
// tells a worker, too, and what more is forked is found by the one that took the first: a searcher that finds something looks
// whether there is more.
// No lost wake-up at the join: owner and taker exchange the same word; the second one sees what the first did.
// Why a wait is a park and not other work: see docs/design/0058. What the owner's side costs: docs/design/0077, 0078.
#include <runnel/sched/fork_join.hpp>

#include "fiber/sanitizer.hpp"
#include "sched/runtime.hpp"
#include "sched/world.hpp"

#include <runnel/sched/fork.hpp>
#include <runnel/sched/operation.hpp>

#include <new>
#include <utility>

namespace runnel::inline RUNNEL_ABI::sched {

using lies = branch::lies;

namespace {

constexpr std::uint32_t running = 0, awaited = 1, ended = 2, returned = 3;

/// The taker's last access.
void tell_owner(branch& b, std::uint32_t what) noexcept {
  // acq_rel: what the branch did is seen by the owner; the waiter is seen here
  if (b.word.exchange(what, shim::order::acq_rel) != awaited) return;
  wake_list woken;
  if (b.joiner->try_claim(granted)) woken.push(*b.joiner);  // nobody else claims it
  woken.wake_all();
}

void finished(job& j) noexcept { tell_owner(static_cast<branch&>(j), ended); }

/// Gives a taken branch a fiber, with a stack like its owner's.
void give_fiber(branch& b) {
  const auto& owner = static_cast<const agent&>(*b.scope->owner);
  const fork_label& label = *b.scope->label;
  b.job::finished = &finished;
  const stack_class c = owner.is_fiber ? static_cast<const fiber&>(owner).size_class : stack_class::standard;
  fiber* f = reserve_fiber(c, label.name, label.at);
  start_fiber(f, b);
}

}  // namespace

// ---- the owner ---------------------------------------------------------------------------------------------------

namespace {
/// Of a fiber in the real world.
fork_place place_on(worker& w) noexcept {
  w.lane.in_use = true;
  return {&w.lane, w.lane.turn.load(shim::order::relaxed)};  // relaxed: own thread's
}
bool has_place(const agent& a) noexcept { return a.is_fiber && !a.lives_in; }
worker& worker_of(const place& p) noexcept { return *static_cast<worker*>(const_cast<void*>(p.thread)); }
}  // namespace

fork_place here() noexcept {
  const place caller = this_place();
  return has_place(caller.caller) ? place_on(worker_of(caller)) : fork_place{nullptr, 0};
}

bool enter(fork_scope& s) {
  const place caller = this_place();
  agent& a = caller.caller;
  s.owner = &a;
  s.outer = std::exchange(a.forks, &s);
  s.ambient = a.ambient;
  s.shields = a.shields;
  const bool usual = has_place(a);
  s.here = usual ? place_on(worker_of(caller)) : fork_place{nullptr, 0};
  // relaxed: the look behind it acquires
  return usual && (a.shields | a.failed_forks.load(shim::order::relaxed)) == 0 && !in_forked_child();
}

bool entered_by_thread(const fork_scope& s) noexcept { return !static_cast<const agent&>(*s.owner).is_fiber; }

void leave_slowly(fork_scope& s) noexcept { s.owner->forks = s.outer; }

// As with contexts (waiter::listen): the owner listens and then looks at the count, here the count is raised and then the
// owner's word looked at. What is found listening is a wait inside the scope, which cannot be left before this branch has ended.
void cancel_owner(fork_scope& s, detail::context_node& by) noexcept {
  auto& owner = static_cast<agent&>(*s.owner);
  if (&this_agent() == &owner) return;
  s.canceled_by.store(&by, shim::order::release);  // release: pairs with the look at it (context.cpp), for the node
  // seq_cst: as said; acq_rel besides, so that who sees the count sees the scope
  owner.failed_forks.fetch_add(1, shim::order::seq_cst);
  wake_list woken;
  if (waiter* w = waiter::claim_listening(owner)) woken.push(*w);
  woken.wake_all();
}

void uncancel_owner(fork_scope& s) noexcept {
  // relaxed: whoever canceled the owner did so in a branch that has been joined
  if (s.canceled_by.load(shim::order::relaxed)) s.owner->failed_forks.fetch_sub(1, shim::order::relaxed);  // relaxed: as above
}

void fork_slowly(branch& b, const fork_place& at) noexcept {
  if (at.lane) {
    detail::sanitizer::hb_release(&b);
    this_worker()->push_branch(b);
    return;
  }
  choice_point(operation::start, &b, b.scope->label->at);
  try {
    start(b);
  } catch (const std::bad_alloc&) {
    b.where = lies::own;
  }
}

void start(branch& b) {
  detail::sanitizer::hb_release(&b);
  b.where = lies::elsewhere;
  give_fiber(b);
}

bool join_slowly(branch& b, const fork_place& at) noexcept {
  switch (b.where) {
    case lies::own: return true;
    case lies::lane:
      // In a later turn the deque is another fiber's, and b was not there any more at the end of that turn. Else the newest is b
      // itself, or there is none (invariant 2): also where join() has found that before.
      if (at.still_here() && at.lane->deque.pop()) return true;
      break;
    case lies::listed:
      if (runtime::instance().listed.remove(b)) return true;
      break;
    case lies::elsewhere: choice_point(operation::join, &b, b.scope->label->at); break;
  }
  waiter w;
  b.joiner = &w;
  std::uint32_t seen = running;
  // release: publishes the waiter; acquire: what the branch did
  if (b.word.compare_exchange(seen, awaited, shim::order::release, shim::order::acquire)) {
    park(w, wait_reason::fork_join, &b);
    seen = b.word.load(shim::order::relaxed);  // relaxed: the wake-up came after it
  }
  if (seen == returned) return true;
  detail::sanitizer::hb_acquire(&b);
  return false;
}

void hand_back(branch& b) noexcept { tell_owner(b, returned); }

unsigned width() noexcept { return runtime::instance().workers(); }

// ---- the workers -------------------------------------------------------------------------------------------------

void worker::push_branch(branch& b) noexcept {
  const bool first = lane.deque.empty();
  if (!lane.deque.push(&b)) [[unlikely]] {
    withdraw_branches();
    lane.deque.push(&b);
  }
  // Only the first: where there is more, either somebody is on the way to it, or all were busy and look here before they rest.
  if (first && runtime_.workers() > 1) runtime_.idle.notify();
}

/// The running fiber leaves its stack.
void worker::leave_lane() noexcept {
  withdraw_branches();
  lane.in_use = false;
  lane.turn.store(lane.turn.load(shim::order::relaxed) + 1, shim::order::relaxed);  // relaxed: own thread's, and see still_here()
}

void worker::withdraw_branches() noexcept {
  // The oldest first, as thieves would: these are the largest. Nobody but thieves is in the way.
  branch* all[branch_lane::capacity + 1];  // one more to look into
  std::size_t n = 0;
  while (lane.deque.pop(all[n])) ++n;
  if (n == 0) return;
  while (n-- > 0) {
    all[n]->where = lies::listed;  // before others can take it: its owner is the caller
    runtime_.listed.add(*all[n]);
  }
  if (runtime_.workers() > 1) runtime_.idle.notify();  // else this worker comes to it
}

/// Begins b, which was taken, on a fiber of this worker's; without memory for one it goes back to its owner.
void worker::begin_branch(branch& b) noexcept {
  bool given = true;
  try {
    give_fiber(b);
  } catch (const std::bad_alloc&) {
    given = false;
  }
  if (!given) hand_back(b);
}

/// The oldest branch of the victim, on a fiber of its own; null when there was none, or no memory.
fiber* worker::steal_branch(worker& victim) noexcept {
  branch* b = nullptr;
  if (victim.lane.deque.empty() || !victim.lane.deque.steal(b)) return nullptr;
  begin_branch(*b);
  return next_local();
}

/// The same from the list.
void worker::begin_listed() noexcept {
  if (branch* b = runtime_.listed.take()) begin_branch(*b);
}

}  // namespace runnel::inline RUNNEL_ABI::sched
