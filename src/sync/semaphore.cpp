// The word: bit 0, W: the word changes under the lock only; above: the free permits.
//
// Protocol
//  1. While W is clear the word changes by compare-exchange, and that is the last that the operation touches.
//  2. W is set and cleared under the lock. Who has looked under the lock and clears it no more (a select that goes another
//     way) leaves it to the next who comes.
//  3. Under the lock, with W set: the first in the queue asks for more than is free, or is being woken by somebody else and
//     will leave by itself.
// No lost wake-up: who waits sets W and looks in one operation, and holds the lock until its node is linked. What is
// released before that is seen by the look; what comes later finds W and, under the lock, the node.
// Who gives up leaves under the lock, and there serves those that were behind it: a large request does not hold up small ones
// once it is gone.
// Destruction by who acquired last: see 1; who held the lock meanwhile is waited for by the destructor.
#include <runnel/sync/semaphore.hpp>

#include "cancellation.hpp"
#include "fiber/sanitizer.hpp"

#include <runnel/error.hpp>
#include <runnel/sched/left_waiters.hpp>
#include <runnel/sched/operation.hpp>

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using detail::sanitizer::hb_acquire;
using detail::sanitizer::hb_release;
using sched::choice_point;
using sched::operation;

namespace {

constexpr std::uint64_t waiting = 1, one = 2;
constexpr std::uint64_t free_of(std::uint64_t word) noexcept { return word / one; }

[[noreturn, gnu::cold]] void refuse_release() {
  detail::throw_misuse("runnel::semaphore: release() beyond the maximum: more was released than acquired");
}

}  // namespace

std::uint64_t semaphore::checked(std::ptrdiff_t n) const {
  if (n < 0) detail::throw_misuse("runnel::semaphore: a negative number of permits");
  if (n > maximum_) detail::throw_misuse("runnel::semaphore: more permits than its maximum: they would never come");
  return static_cast<std::uint64_t>(n);
}

bool semaphore::has_room(std::uint64_t free, std::uint64_t more) const noexcept {
  return more <= static_cast<std::uint64_t>(maximum_) - free;
}

semaphore::semaphore(std::ptrdiff_t permits, std::ptrdiff_t maximum)
    : maximum_(maximum), word_(checked(permits) * one) {
  if (maximum > max()) detail::throw_misuse("runnel::semaphore: a maximum above semaphore::max()");
}

semaphore::~semaphore() {
  raw_guard hold(object_.lock);
  sched::refuse_to_leave_waiters("a semaphore", this, waiters_);
}

std::ptrdiff_t semaphore::available() const noexcept {
  return static_cast<std::ptrdiff_t>(free_of(word_.load(shim::order::relaxed)));  // relaxed: a number for reports
}

void semaphore::see_release() noexcept { hb_acquire(this); }

/// Without the lock. False also when W is set.
bool semaphore::take(std::uint64_t n) noexcept {
  std::uint64_t seen = word_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (!(seen & waiting) && free_of(seen) >= n) {
    // acquire: pairs with release(); relaxed on failure: it looks again
    if (!word_.compare_exchange(seen, seen - n * one, shim::order::acquire, shim::order::relaxed)) continue;
    hb_acquire(this);
    return true;
  }
  return false;
}

/// Under the lock: sets W, so that what the word says holds until settle(). What is free.
std::uint64_t semaphore::freeze() noexcept {
  return free_of(word_.fetch_or(waiting, shim::order::acquire));  // acquire: pairs with release(), settle() passes it on
}

/// Under the lock; freezes.
bool semaphore::can_take(std::uint64_t n) noexcept {
  const std::uint64_t free = freeze();
  return n == 0 || (waiters_.empty() && free >= n);
}

/// The last under the lock: so much is free, which goes to those who wait, in turn.
void semaphore::settle(std::uint64_t free, sched::wake_list& woken) noexcept {
  while (sched::wait_node* n = waiters_.claim_front_if([&](sched::wait_node& first) { return first.note <= free; })) {
    free -= n->note;
    woken.push(*n->owner);
  }
  // release: what was released is acquired by who takes it without the lock. With W set nobody else changes the word
  word_.store(free * one | (waiters_.empty() ? 0 : waiting), shim::order::release);
}

/// After can_take().
void semaphore::take_locked(std::uint64_t n) noexcept {
  sched::wake_list none;  // nobody in the queue can be served by less than what was free before
  settle(freeze() - n, none);
  hb_acquire(this);
}

/// After can_take().
void semaphore::join_queue(sched::wait_node& n) noexcept {
  n.owner->may_be_ended_by(object_);
  waiters_.push_back(n);
}

void semaphore::leave_queue(sched::wait_node& n, sched::wake_list& woken) noexcept {
  waiters_.remove(n);
  settle(freeze(), woken);  // whoever found only this one in the queue has cleared W
}

bool semaphore::try_acquire(std::ptrdiff_t n) {
  choice_point(operation::acquire, this);
  if (n > maximum_) return false;
  const std::uint64_t wanted = checked(n);
  if (wanted == 0 || take(wanted)) return true;
  raw_guard hold(object_.lock);
  if (can_take(wanted)) {
    take_locked(wanted);
    return true;
  }
  sched::wake_list none;  // as in take_locked()
  settle(freeze(), none);
  return false;
}

bool semaphore::acquire_until(std::ptrdiff_t n, time_point deadline, detail::context_node* extra, reported as) {
  choice_point(operation::acquire, this);
  const std::uint64_t wanted = checked(n);
  sched::agent& caller = sched::this_agent();
  detail::check_canceled(caller, extra);
  return wanted == 0 || take(wanted) || wait_for_turn(caller, wanted, deadline, extra, as);
}

[[gnu::noinline]] bool semaphore::wait_for_turn(sched::agent& caller, std::uint64_t wanted, time_point deadline,
                                                detail::context_node* extra, reported as) {
  sched::waiter w(caller);
  sched::wait_node node(w);
  node.note = wanted;
  {
    raw_guard hold(object_.lock);
    if (can_take(wanted)) {
      take_locked(wanted);
      return true;
    }
    join_queue(node);
  }
  const sched::claim_token t = detail::wait(caller, w, as.reason, as.object, deadline, extra);
  if (t == sched::granted) {
    hb_acquire(this);
    return true;
  }
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    leave_queue(node, woken);
  }
  woken.wake_all();
  if (t == sched::was_canceled) detail::throw_wait_canceled(extra);
  return false;
}

void semaphore::release(std::ptrdiff_t n) {
  choice_point(operation::release, this);
  if (n > maximum_) refuse_release();
  const std::uint64_t more = checked(n);
  hb_release(this);
  std::uint64_t seen = word_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (!(seen & waiting)) {
    if (!has_room(free_of(seen), more)) refuse_release();
    // release: what was done with the permits is seen by who acquires them. Relaxed on failure: it looks again
    if (word_.compare_exchange(seen, seen + more * one, shim::order::release, shim::order::relaxed)) return;
  }
  release_slow(more);
}

[[gnu::noinline]] void semaphore::release_slow(std::uint64_t more) {
  sched::wake_list woken;
  bool possible = false;
  {
    raw_guard hold(object_.lock);
    const std::uint64_t free = freeze();
    possible = has_room(free, more);
    settle(possible ? free + more : free, woken);
  }
  woken.wake_all();
  if (!possible) refuse_release();
}

}  // namespace runnel::inline RUNNEL_ABI
