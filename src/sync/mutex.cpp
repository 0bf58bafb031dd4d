// The word: bit 0, L: locked; bit 1, G: somebody works on the queue; above: the first who waits, in a ring of nodes.
//
//   0          free
//   L          locked, nobody waits
//   L, nodes   locked
//   nodes      free; one who waited is on its way to take it, unless a newcomer is faster; others wait
//   G, ...     as without G, while the queue changes
//
// Protocol
//  1. L is set by a compare-exchange from a word without L, and cleared by who unlocks. While G is clear, an unlock of L
//     alone is a compare-exchange to 0; all others need G.
//  2. G guards nodes and queue. It is set by a compare-exchange and held for a few dozen instructions.
//  3. While L and G are set nobody but the holder of G changes the word: lock() sees L, unlock() waits for G. So who
//     enters the queue, and who unlocks, gives G back by a plain store. Who leaves the queue may meet a newcomer that sets L.
// No lost wake-up: a node is linked with L set under G, so the unlock that follows finds it. Who was woken (`retry`) and
// finds the lock taken goes back to the front in the same way. Who leaves for good has claimed itself: the unlock that
// meets its node skips it and wakes the next, and nobody's wake-up is used up.
// Destruction: the last access of unlock() is the one that frees the lock, or hands it over.
// Rejected: a lock and a queue of their own (40 bytes); an owner in the word, for spinning, see docs/design/0040.
#include <runnel/sync/mutex.hpp>

#include "base/futex.hpp"
#include "fiber/sanitizer.hpp"

#include <runnel/sched/left_waiters.hpp>
#include <runnel/sched/operation.hpp>

namespace runnel::inline RUNNEL_ABI {

using sched::choice_point;
using sched::operation;

namespace {

constexpr std::uint64_t locked = 1, guarded = 2;
static_assert(alignof(sched::wait_node) > (locked | guarded));
constexpr std::chrono::nanoseconds patience = std::chrono::milliseconds(1);

sched::wait_ring queue_of(std::uint64_t word) noexcept {
  return sched::wait_ring(reinterpret_cast<sched::wait_node*>(word & ~(locked | guarded)));
}
std::uint64_t word_of(const sched::wait_ring& queue) noexcept { return reinterpret_cast<std::uint64_t>(queue.first()); }

std::uint64_t now_ns() noexcept {
  return static_cast<std::uint64_t>(steady_clock::now().time_since_epoch().count());
}

}  // namespace

mutex::~mutex() {
  const std::uint64_t seen = word_.load(shim::order::relaxed);  // relaxed: nobody else uses it any more, or it is misused
  if (queue_of(seen).first()) sched::refuse_to_leave_waiters("a mutex", this, queue_of(guard()));
}

bool mutex::try_lock() noexcept {
  choice_point(operation::try_lock, this);
  return take();
}

bool mutex::take() noexcept {
  std::uint64_t seen = 0;
  do {
    // acquire: pairs with the release in unlock(); relaxed on failure: it looks again
    if (word_.compare_exchange(seen, seen | locked, shim::order::acquire, shim::order::relaxed)) {
      detail::sanitizer::hb_acquire(this);
      return true;
    }
  } while (!(seen & locked));
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

/// Sets G; the word as it was before.
std::uint64_t mutex::guard() noexcept {
  std::uint64_t seen = word_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  for (int round = 0;;) {
    if (seen & guarded) {
      detail::give_way(word_, seen, round++);
      seen = word_.load(shim::order::relaxed);  // relaxed: as above
    } else if (word_.compare_exchange(seen, seen | guarded, shim::order::acquire, shim::order::relaxed)) {
      return seen;  // acquire: pairs with the releases that give G back; relaxed on failure: it looks again
    }
  }
}

/// True with the lock; false with L seen, and G set.
bool mutex::take_or_guard(std::uint64_t& seen) noexcept {
  for (int round = 0;;) {
    if (take()) return true;
    seen = word_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
    if (seen & guarded) {
      detail::give_way(word_, seen, round++);
    } else if ((seen & locked) &&
               // acquire: pairs with the releases that give G back; relaxed on failure: it looks again
               word_.compare_exchange(seen, seen | guarded, shim::order::acquire, shim::order::relaxed)) {
      return false;
    }
  }
}

mutex::result mutex::lock_slow(time_point deadline, bool cancelable, detail::context_node* extra) {
  if (sched::in_forked_child()) sched::refuse_in_forked_child();
  sched::waiter w;
  sched::wait_node n(w);
  n.note = now_ns();
  for (bool again = false;; again = true) {
    std::uint64_t seen = 0;
    if (take_or_guard(seen)) return result::locked;
    sched::wait_ring queue = queue_of(seen);
    again ? queue.push_front(n) : queue.push_back(n);
    word_.store(word_of(queue) | locked, shim::order::release);  // release: publishes the queue. Plain: protocol 3
    const sched::claim_token t = cancelable
                                     ? detail::wait(w, sched::wait_reason::mutex_lock, this, deadline, extra)
                                     : sched::park(w, sched::wait_reason::mutex_lock, this, deadline);
    if (t == sched::granted) {
      detail::sanitizer::hb_acquire(this);
      return result::locked;
    }
    if (t != sched::retry) {
      leave(n);
      return t == sched::timed_out ? result::timed_out : result::was_canceled;
    }
    w.rearm();
  }
}

void mutex::leave(sched::wait_node& n) noexcept {
  std::uint64_t seen = guard();
  sched::wait_ring queue = queue_of(seen);
  queue.remove(n);
  seen |= guarded;
  do {  // a newcomer may have set L meanwhile
    // release: publishes the queue; relaxed on failure: it looks again
  } while (!word_.compare_exchange(seen, (seen & locked) | word_of(queue), shim::order::release, shim::order::relaxed));
}

void mutex::unlock() noexcept {
  choice_point(operation::unlock, this);
  detail::sanitizer::hb_release(this);
  std::uint64_t seen = locked;
  // release: publishes the critical section; relaxed on failure: the slow path looks again
  if (word_.compare_exchange(seen, 0, shim::order::release, shim::order::relaxed)) return;
  if (!(seen & locked))
    detail::fatal("unlock of an unlocked mutex (%p): one unlock() too many", static_cast<void*>(this));
  unlock_slow();
}

void mutex::unlock_slow() noexcept {
  sched::wake_list woken;
  sched::wait_ring queue = queue_of(guard());
  const sched::wait_node* first = queue.first();
  const bool hand_over = first && now_ns() - first->note >= static_cast<std::uint64_t>(patience.count());
  sched::wait_node* next = queue.claim_front_as(hand_over ? sched::granted : sched::retry);
  if (next) woken.push(*next->owner);
  // release: publishes the critical section, and the queue. Plain: protocol 3
  word_.store(word_of(queue) | (next && hand_over ? locked : 0), shim::order::release);
  woken.wake_all();
}

}  // namespace runnel::inline RUNNEL_ABI
