// States of word_: 0 free; L locked; L|W locked, some wait; W free, some wait and one of them is on its way.
//
// No lost wake-up: a waiter enters the queue under guard_ with W set while L is set; the owner's unlock cannot take the
// fast path then and, under guard_, wakes the first waiter or hands the lock over. A waiter that was woken (`retry`) and
// finds the lock taken goes back to the front, again under guard_ with L set. A waiter leaves the queue for good only by
// a claim of its own (time-out, cancellation), while L is set, so the wake-up of nobody else is used up.
#include <runnel/sync/mutex.hpp>

#include "fiber/sanitizer.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/sched/fork.hpp>
#include <runnel/sched/operation.hpp>

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using sched::choice_point;
using sched::operation;

namespace {

constexpr std::uint32_t locked_bit = 1, waiters_bit = 2;
constexpr std::chrono::nanoseconds patience = std::chrono::milliseconds(1);

std::uint64_t now_ns() noexcept {
  return static_cast<std::uint64_t>(steady_clock::now().time_since_epoch().count());
}

}  // namespace

mutex::~mutex() {
  raw_guard hold(guard_);
  if (!waiters_.empty() && !sched::in_forked_child()) detail::fatal("a mutex is destroyed while others wait for it (%p)", static_cast<void*>(this));
}

bool mutex::try_lock() noexcept {
  choice_point(operation::try_lock, this);
  return take();
}

bool mutex::take() noexcept {
  std::uint32_t seen = word_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (!(seen & locked_bit)) {
    // acquire: pairs with the release in unlock()
    if (!word_.compare_exchange(seen, seen | locked_bit, shim::order::acquire, shim::order::relaxed)) continue;
    detail::sanitizer::hb_acquire(this);
    return true;
  }
  return false;
}

void mutex::lock() {
  choice_point(operation::lock, this);
  if (!take()) static_cast<void>(lock_slow(never, false, nullptr));
}

void mutex::lock(const context& ctx) {
  detail::context_node* extra = &detail::node_of(ctx);
  choice_point(operation::lock, this);
  detail::check_canceled(extra);
  if (take()) return;
  if (lock_slow(never, true, extra) == result::was_canceled) detail::throw_wait_canceled(extra);
}

bool mutex::try_lock_until(time_point deadline) {
  choice_point(operation::lock, this);
  return take() || lock_slow(deadline, false, nullptr) == result::locked;
}

mutex::result mutex::lock_slow(time_point deadline, bool cancelable, detail::context_node* extra) {
  if (sched::in_forked_child()) sched::refuse_in_forked_child();
  sched::waiter w;
  sched::wait_node n(w);
  n.note = now_ns();
  for (bool again = false;; again = true) {
    {
      raw_guard hold(guard_);
      // relaxed: the bit is only a promise to come through guard_, which orders the rest; unlock() sees it or we see
      // the lock free, because both change the one word
      const std::uint32_t before = word_.fetch_or(waiters_bit, shim::order::relaxed);
      if (!(before & locked_bit) && take()) {
        // relaxed: under guard_
        if (waiters_.empty()) word_.fetch_and(~waiters_bit, shim::order::relaxed);
        return result::locked;
      }
      again ? waiters_.push_front(n) : waiters_.push_back(n);
    }
    const sched::claim_token t = cancelable
                                     ? detail::wait(w, sched::wait_reason::mutex_lock, this, deadline, extra)
                                     : sched::park(w, sched::wait_reason::mutex_lock, this, deadline);
    if (t == sched::granted) {
      detail::sanitizer::hb_acquire(this);
      return result::locked;
    }
    if (t == sched::retry) {
      if (take()) return result::locked;
      w.rearm();
      continue;
    }
    raw_guard hold(guard_);
    waiters_.remove(n);
    if (waiters_.empty()) word_.fetch_and(~waiters_bit, shim::order::relaxed);  // relaxed: under guard_
    return t == sched::timed_out ? result::timed_out : result::was_canceled;
  }
}

void mutex::unlock() noexcept {
  choice_point(operation::unlock, this);
  detail::sanitizer::hb_release(this);
  std::uint32_t seen = locked_bit;
  // release: publishes the critical section; relaxed on failure: the slow path looks again
  if (word_.compare_exchange(seen, 0, shim::order::release, shim::order::relaxed)) return;
  if (!(seen & locked_bit))
    detail::fatal("unlock of an unlocked mutex (%p): one unlock() too many", static_cast<void*>(this));
  unlock_slow();
}

void mutex::unlock_slow() noexcept {
  sched::wake_list woken;
  {
    raw_guard hold(guard_);
    const sched::wait_node* first = waiters_.front();
    const bool hand_over = first && now_ns() - first->note >= static_cast<std::uint64_t>(patience.count());
    sched::wait_node* next = waiters_.claim_front_as(hand_over ? sched::granted : sched::retry);
    if (next) woken.push(*next->owner);
    const std::uint32_t rest = waiters_.empty() ? 0 : waiters_bit;
    // release: publishes the critical section. With L set and guard_ held nobody else changes the word.
    word_.store(rest | (next && hand_over ? locked_bit : 0), shim::order::release);
  }
  woken.wake_all();
}

}  // namespace runnel::inline RUNNEL_ABI
