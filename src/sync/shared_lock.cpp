// A lock for readers and a writer: a word, or several, for as long as nobody waits, and behind it a waiting room under a lock.
//
// The word: bit 0, F: frozen, who is in stands in state_; bit 1, X: a writer; above: the readers. Striped, the words of the
// stripes count some of the readers each, and word_ is frozen for ever, so that writers always come to the waiting room.
// Readers leave through the stripe of whoever unlocks: one may be negative, but the sum is right.
//
// Protocol
//  1. While F is clear a word changes by compare-exchange, and that is the last that the operation touches.
//  2. F is set and cleared under the lock of the waiting room. While it is set nobody changes the word, and state_ says
//     who is in. At the end of what happens under the lock F is set exactly if somebody is in a queue, or striped also if a
//     writer is in.
//  3. Freezing takes the stripes one after the other. A reader that is in was counted in some stripe before that was frozen,
//     and leaves, until all are frozen, through one that is not yet. So the sum of what was found is the number of readers.
// No lost wake-up: who waits freezes and looks under the lock, and holds it until its node is linked. Who leaves before the
// word is frozen is seen by the look; who leaves later finds F and, under the lock, the node.
// Turns: readers that find a writer in the queue wait behind it. The last reader lets the first writer in, a writer all
// readers in the queue. Who gives up leaves under the lock, and lets in whom nobody keeps out any more.
// Destruction by who has it last: see 1; who held the lock meanwhile is waited for by the destructor.
// Rejected: see docs/design/0043.
#include <runnel/sync/reader_preferring_shared_mutex.hpp>
#include <runnel/sync/scalable_shared_mutex.hpp>
#include <runnel/sync/shared_mutex.hpp>

#include "fiber/sanitizer.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/sched/left_waiters.hpp>
#include <runnel/sched/operation.hpp>
#include <runnel/sched/stripe.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

using sanitizer::hb_acquire;
using sanitizer::hb_release;
using sched::choice_point;
using sched::operation;

namespace {

constexpr std::uint64_t frozen = 1, writing = 2, one_reader = 4;

[[noreturn, gnu::cold]] void refuse_unlock(const char* does, const void* lock) noexcept {
  fatal("unlock of a shared mutex that nobody %s (%p): one unlock too many", does, lock);
}
constexpr std::int64_t readers_of(std::uint64_t word) noexcept { return static_cast<std::int64_t>(word) >> 2; }

}  // namespace

// ---- the words -------------------------------------------------------------------------------------------------

/// The one for readers who are here.
inline shim::atomic<std::uint64_t>& shared_lock::own_word() noexcept {
  return stripes_ ? stripes_[sched::stripe_of_caller() & stripe_mask_].word : word_;
}

inline bool shared_lock::try_enter(way how) noexcept {
  if (how == way::exclusive) {
    std::uint64_t free = 0;
    // acquire: pairs with the releases of readers and writers; relaxed on failure: nothing was learnt
    return word_.compare_exchange(free, writing, shim::order::acquire, shim::order::relaxed);
  }
  auto& word = own_word();
  std::uint64_t seen = word.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (!(seen & (frozen | writing))) {
    // acquire: pairs with the release of the writer, or of who thawed the word; relaxed on failure: it looks again
    if (word.compare_exchange(seen, seen + one_reader, shim::order::acquire, shim::order::relaxed)) return true;
  }
  return false;
}

inline bool shared_lock::try_leave(way how) noexcept {
  if (how == way::exclusive) {
    std::uint64_t mine = writing;
    // release: publishes what was written; relaxed on failure: it looks again under the lock
    return word_.compare_exchange(mine, 0, shim::order::release, shim::order::relaxed);
  }
  auto& word = own_word();
  std::uint64_t seen = word.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (!(seen & frozen) && (stripes_ || seen >= one_reader)) {
    // release: what was read is not overwritten before; relaxed on failure: it looks again
    if (word.compare_exchange(seen, seen - one_reader, shim::order::release, shim::order::relaxed)) return true;
  }
  return false;
}

/// From here on nobody comes or goes but under the lock, and state_ says who is in.
void shared_lock::freeze() noexcept {
  if (std::exchange(frozen_, true)) return;
  if (!stripes_) {
    const std::uint64_t seen = word_.fetch_or(frozen, shim::order::acquire);  // acquire: as in try_enter(), for whom we let in
    state_ = {readers_of(seen), (seen & writing) != 0};
    return;
  }
  state_ = {};
  for (std::uint32_t i = 0; i <= stripe_mask_; ++i)
    // acquire: pairs with the releases of readers that left through it
    state_.readers += readers_of(stripes_[i].word.exchange(frozen, shim::order::acquire));
  if (state_.readers < 0) refuse_unlock("reads", this);
}

/// The last under the lock.
void shared_lock::settle() noexcept {
  if (!readers_.empty() || !writers_.empty() || (stripes_ && state_.writer)) return;
  frozen_ = false;
  const std::uint64_t word = static_cast<std::uint64_t>(state_.readers) * one_reader | (state_.writer ? writing : 0);
  if (!stripes_) {
    word_.store(word, shim::order::release);  // release: who comes next sees what those have written who left under the lock
    return;
  }
  for (std::uint32_t i = 0; i <= stripe_mask_; ++i)
    stripes_[i].word.store(i == 0 ? word : 0, shim::order::release);  // release: the same
}

// ---- the waiting room ------------------------------------------------------------------------------------------

shared_lock::shared_lock(kind k)
    : word_(k == kind::striped ? frozen : 0),
      readers_first_(k == kind::readers_first),
      stripe_mask_(k == kind::striped ? sched::stripe_count() - 1 : 0),
      stripes_(k == kind::striped ? new stripe[stripe_mask_ + std::size_t{1}] : nullptr) {}

shared_lock::~shared_lock() {
  raw_guard hold(object_.lock);
  sched::refuse_to_leave_waiters("a shared mutex", this, writers_, readers_);
}

/// For ThreadSanitizer. Writers come after all, readers after writers: that two readers meet is no order.
void shared_lock::see(way how) noexcept {
  hb_acquire(&writers_);
  if (how == way::exclusive) hb_acquire(&readers_);
}

bool shared_lock::enter(way how) noexcept {
  if (state_.writer) return false;
  if (how == way::exclusive) return state_.readers == 0 && (state_.writer = true);
  if (!readers_first_ && !writers_.empty()) return false;
  ++state_.readers;
  return true;
}

void shared_lock::let_readers_in(sched::wake_list& woken) noexcept {
  while (sched::wait_node* n = readers_.claim_front()) {
    ++state_.readers;
    woken.push(*n->owner);
  }
}

/// Whoever may come in now does.
void shared_lock::let_in(bool readers_turn, sched::wake_list& woken) noexcept {
  if (state_.writer) return;
  if (readers_turn) let_readers_in(woken);
  if (state_.readers == 0) {
    if (sched::wait_node* n = writers_.claim_front()) {
      state_.writer = true;
      woken.push(*n->owner);
      return;
    }
  }
  if (writers_.empty()) let_readers_in(woken);
}

/// Without waiting.
bool shared_lock::look(way how) noexcept {
  bool in = try_enter(how);
  if (!in) {
    raw_guard hold(object_.lock);
    freeze();
    in = enter(how);
    settle();
  }
  if (in) see(how);
  return in;
}

inline sched::claim_token shared_lock::acquire(way how, time_point deadline, bool cancelable, context_node* extra) {
  choice_point(how == way::shared ? operation::lock_shared : operation::lock, this);
  if (cancelable) check_canceled(extra);
  if (!try_enter(how)) return wait_for_turn(how, deadline, cancelable, extra);
  see(how);
  return sched::granted;
}

[[gnu::noinline]] sched::claim_token shared_lock::wait_for_turn(way how, time_point deadline, bool cancelable,
                                                            context_node* extra) {
  if (sched::in_forked_child()) sched::refuse_in_forked_child();
  const bool shared = how == way::shared;
  sched::waiter w;
  sched::wait_node n(w);
  sched::wait_queue& queue = shared ? readers_ : writers_;
  {
    raw_guard hold(object_.lock);
    freeze();
    if (enter(how)) {
      settle();
      see(how);
      return sched::granted;
    }
    w.may_be_ended_by(object_);
    queue.push_back(n);
  }
  const sched::wait_reason reason = shared ? sched::wait_reason::shared_lock : sched::wait_reason::exclusive_lock;
  const sched::claim_token t = cancelable ? wait(w, reason, this, deadline, extra) : sched::park(w, reason, this, deadline);
  if (t == sched::granted) {
    see(how);
    return t;
  }
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    queue.remove(n);
    freeze();
    let_in(false, woken);
    settle();
  }
  woken.wake_all();
  return t;
}

/// stays: as a reader.
[[gnu::noinline]] void shared_lock::release(way how, bool stays) noexcept {
  const bool shared = how == way::shared;
  sched::wake_list woken;
  bool misused = false;
  {
    raw_guard hold(object_.lock);
    freeze();
    misused = shared ? state_.readers <= 0 : !state_.writer;
    if (!misused) {
      if (shared) {
        --state_.readers;
      } else {
        state_.writer = false;
        state_.readers += stays;
      }
      let_in(!shared, woken);
    }
    settle();
  }
  woken.wake_all();
  if (misused) refuse_unlock(shared ? "reads" : "writes", this);
}

void shared_lock::lock() {
  static_cast<void>(acquire(way::exclusive, never, false, nullptr));
}
void shared_lock::lock(const context& ctx) {
  context_node* extra = &node_of(ctx);
  if (acquire(way::exclusive, never, true, extra) != sched::granted) throw_wait_canceled(extra);
}
bool shared_lock::try_lock() noexcept {
  choice_point(operation::try_lock, this);
  return look(way::exclusive);
}
bool shared_lock::try_lock_until(time_point deadline) {
  return acquire(way::exclusive, deadline, false, nullptr) == sched::granted;
}
void shared_lock::unlock() noexcept {
  choice_point(operation::unlock, this);
  hb_release(&writers_);
  if (!try_leave(way::exclusive)) release(way::exclusive, false);
}

void shared_lock::lock_shared() {
  static_cast<void>(acquire(way::shared, never, false, nullptr));
}
void shared_lock::lock_shared(const context& ctx) {
  context_node* extra = &node_of(ctx);
  if (acquire(way::shared, never, true, extra) != sched::granted) throw_wait_canceled(extra);
}
bool shared_lock::try_lock_shared() noexcept {
  choice_point(operation::try_lock, this);
  return look(way::shared);
}
bool shared_lock::try_lock_shared_until(time_point deadline) {
  return acquire(way::shared, deadline, false, nullptr) == sched::granted;
}
void shared_lock::unlock_shared() noexcept {
  choice_point(operation::unlock_shared, this);
  hb_release(&readers_);
  if (!try_leave(way::shared)) release(way::shared, false);
}

void shared_lock::unlock_and_lock_shared() noexcept {
  choice_point(operation::unlock, this);
  hb_release(&writers_);
  release(way::exclusive, true);
}

}  // namespace runnel::inline RUNNEL_ABI::detail
