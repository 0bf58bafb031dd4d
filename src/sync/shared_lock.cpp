// A lock for readers and a writer: a word, or several, for as long as nobody waits, and behind it a waiting room under a lock.
//
// The word: bit 0, F: frozen, who is in stands in state_; bit 1, X: a writer; above: the readers. Striped, each word counts
// some of the readers and X is not used: readers leave through the stripe of whoever unlocks, so one stripe may be negative,
// but the sum is right.
//
// Protocol
//  1. While F is clear a word changes by compare-exchange, and that is the last that the operation touches.
//  2. F is set and cleared under the lock of the waiting room. While it is set nobody changes the word, and state_ says
//     who is in. At the end of what happens under the lock F is set exactly if somebody is in a queue, or striped also if a
//     writer is in.
//  3. Freezing takes the words one after the other. A reader that is in was counted in some word before that was frozen, and
//     leaves, until all are frozen, through one that is not yet. So the sum of what was found is the number of readers.
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
#include <runnel/sched/slot.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

using sanitizer::hb_acquire;
using sanitizer::hb_release;
using sched::choice_point;
using sched::operation;

namespace {

constexpr std::uint64_t frozen = 1, writing = 2, one_reader = 4;
constexpr std::uint64_t one_striped = 2;

constexpr std::int64_t striped_readers(std::uint64_t word) noexcept { return static_cast<std::int64_t>(word) >> 1; }

}  // namespace

// ---- one word --------------------------------------------------------------------------------------------------

bool shared_word::try_enter() noexcept {
  std::uint64_t free = 0;
  // acquire: pairs with the releases of readers and writers; relaxed on failure: nothing was learnt
  return word_.compare_exchange(free, writing, shim::order::acquire, shim::order::relaxed);
}

bool shared_word::try_leave() noexcept {
  std::uint64_t mine = writing;
  // release: publishes what was written; relaxed on failure: it looks again under the lock
  return word_.compare_exchange(mine, 0, shim::order::release, shim::order::relaxed);
}

bool shared_word::try_enter_shared() noexcept {
  std::uint64_t seen = word_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (!(seen & (frozen | writing))) {
    // acquire: pairs with the release of the writer; relaxed on failure: it looks again
    if (word_.compare_exchange(seen, seen + one_reader, shim::order::acquire, shim::order::relaxed)) return true;
  }
  return false;
}

bool shared_word::try_leave_shared() noexcept {
  std::uint64_t seen = word_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (!(seen & frozen) && seen >= one_reader) {
    // release: what was read is not overwritten before; relaxed on failure: it looks again
    if (word_.compare_exchange(seen, seen - one_reader, shim::order::release, shim::order::relaxed)) return true;
  }
  return false;
}

void shared_word::freeze(shared_state& s) noexcept {
  const std::uint64_t seen = word_.fetch_or(frozen, shim::order::acquire);  // acquire: whom the caller lets in sees what was written
  if (seen & frozen) return;
  s.readers = static_cast<std::int64_t>(seen / one_reader);
  s.writer = (seen & writing) != 0;
}

void shared_word::thaw(const shared_state& s) noexcept {
  // release: who comes next sees what was written by those who left under the lock
  word_.store(static_cast<std::uint64_t>(s.readers) * one_reader | (s.writer ? writing : 0), shim::order::release);
}

// ---- a word for each processor ---------------------------------------------------------------------------------

striped_shared_word::striped_shared_word() : mask_(sched::slots() - 1), stripes_(new stripe[mask_ + std::size_t{1}]) {}

shim::atomic<std::uint64_t>& striped_shared_word::own() noexcept { return stripes_[sched::slot_of_caller() & mask_].word; }

bool striped_shared_word::try_enter_shared() noexcept {
  auto& word = own();
  std::uint64_t seen = word.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (!(seen & frozen)) {
    // acquire: pairs with thaw(), so with the writer; relaxed on failure: it looks again
    if (word.compare_exchange(seen, seen + one_striped, shim::order::acquire, shim::order::relaxed)) return true;
  }
  return false;
}

bool striped_shared_word::try_leave_shared() noexcept {
  auto& word = own();
  std::uint64_t seen = word.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (!(seen & frozen)) {
    // release: what was read is not overwritten before; relaxed on failure: it looks again
    if (word.compare_exchange(seen, seen - one_striped, shim::order::release, shim::order::relaxed)) return true;
  }
  return false;
}

void striped_shared_word::freeze(shared_state& s) noexcept {
  if (std::exchange(frozen_, true)) return;
  s = {};
  for (std::uint32_t i = 0; i <= mask_; ++i)
    // acquire: pairs with the releases of readers that left through it
    s.readers += striped_readers(stripes_[i].word.exchange(frozen, shim::order::acquire));
  if (s.readers < 0) fatal("unlock_shared of a shared mutex that nobody reads (%p): one unlock too many", static_cast<void*>(this));
}

void striped_shared_word::thaw(const shared_state& s) noexcept {
  if (s.writer) return;
  frozen_ = false;
  for (std::uint32_t i = 0; i <= mask_; ++i)
    // release: readers that come through it see what the writers have written
    stripes_[i].word.store(i == 0 ? static_cast<std::uint64_t>(s.readers) * one_striped : 0, shim::order::release);
}

// ---- the waiting room ------------------------------------------------------------------------------------------

template <class Word, bool ReadersFirst>
shared_lock<Word, ReadersFirst>::~shared_lock() {
  raw_guard hold(object_.lock);
  sched::refuse_to_leave_waiters("shared mutex", this, writers_, readers_);
}

/// For ThreadSanitizer. Writers come after all, readers after writers: that two readers meet is no order.
template <class Word, bool ReadersFirst>
void shared_lock<Word, ReadersFirst>::see(way how) noexcept {
  hb_acquire(&writers_);
  if (how == way::exclusive) hb_acquire(&readers_);
}

template <class Word, bool ReadersFirst>
bool shared_lock<Word, ReadersFirst>::enter(way how) noexcept {
  if (state_.writer) return false;
  if (how == way::exclusive) return state_.readers == 0 && (state_.writer = true);
  if (!ReadersFirst && !writers_.empty()) return false;
  ++state_.readers;
  return true;
}

template <class Word, bool ReadersFirst>
void shared_lock<Word, ReadersFirst>::let_readers_in(sched::wake_list& woken) noexcept {
  while (sched::wait_node* n = readers_.claim_front()) {
    ++state_.readers;
    woken.push(*n->owner);
  }
}

/// Whoever may come in now does.
template <class Word, bool ReadersFirst>
void shared_lock<Word, ReadersFirst>::let_in(bool readers_turn, sched::wake_list& woken) noexcept {
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

/// The last under the lock.
template <class Word, bool ReadersFirst>
void shared_lock<Word, ReadersFirst>::settle() noexcept {
  if (readers_.empty() && writers_.empty()) word_.thaw(state_);
}

/// Without waiting.
template <class Word, bool ReadersFirst>
bool shared_lock<Word, ReadersFirst>::look(way how) noexcept {
  bool in = how == way::shared ? word_.try_enter_shared() : word_.try_enter();
  if (!in) {
    raw_guard hold(object_.lock);
    word_.freeze(state_);
    in = enter(how);
    settle();
  }
  if (in) see(how);
  return in;
}

template <class Word, bool ReadersFirst>
inline sched::claim_token shared_lock<Word, ReadersFirst>::acquire(way how, time_point deadline, bool cancelable,
                                                                   context_node* extra) {
  const bool shared = how == way::shared;
  choice_point(shared ? operation::lock_shared : operation::lock, this);
  if (cancelable) check_canceled(extra);
  if (!(shared ? word_.try_enter_shared() : word_.try_enter())) return wait_for_turn(how, deadline, cancelable, extra);
  see(how);
  return sched::granted;
}

template <class Word, bool ReadersFirst>
[[gnu::noinline]] sched::claim_token shared_lock<Word, ReadersFirst>::wait_for_turn(way how, time_point deadline, bool cancelable,
                                                                                    context_node* extra) {
  if (sched::in_forked_child()) sched::refuse_in_forked_child();
  const bool shared = how == way::shared;
  sched::waiter w;
  sched::wait_node n(w);
  sched::wait_queue& queue = shared ? readers_ : writers_;
  {
    raw_guard hold(object_.lock);
    word_.freeze(state_);
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
    word_.freeze(state_);
    let_in(false, woken);
    settle();
  }
  woken.wake_all();
  return t;
}

/// stays: as a reader.
template <class Word, bool ReadersFirst>
[[gnu::noinline]] void shared_lock<Word, ReadersFirst>::release(way how, bool stays) noexcept {
  const bool shared = how == way::shared;
  sched::wake_list woken;
  bool misused = false;
  {
    raw_guard hold(object_.lock);
    word_.freeze(state_);
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
  if (misused) fatal("unlock of a shared mutex that nobody %s (%p): one unlock too many", shared ? "reads" : "writes", static_cast<void*>(this));
}

template <class Word, bool ReadersFirst>
void shared_lock<Word, ReadersFirst>::lock() {
  static_cast<void>(acquire(way::exclusive, never, false, nullptr));
}
template <class Word, bool ReadersFirst>
void shared_lock<Word, ReadersFirst>::lock(const context& ctx) {
  context_node* extra = &node_of(ctx);
  if (acquire(way::exclusive, never, true, extra) != sched::granted) throw_wait_canceled(extra);
}
template <class Word, bool ReadersFirst>
bool shared_lock<Word, ReadersFirst>::try_lock() noexcept {
  choice_point(operation::try_lock, this);
  return look(way::exclusive);
}
template <class Word, bool ReadersFirst>
bool shared_lock<Word, ReadersFirst>::try_lock_until(time_point deadline) {
  return acquire(way::exclusive, deadline, false, nullptr) == sched::granted;
}
template <class Word, bool ReadersFirst>
void shared_lock<Word, ReadersFirst>::unlock() noexcept {
  choice_point(operation::unlock, this);
  hb_release(&writers_);
  if (!word_.try_leave()) release(way::exclusive, false);
}

template <class Word, bool ReadersFirst>
void shared_lock<Word, ReadersFirst>::lock_shared() {
  static_cast<void>(acquire(way::shared, never, false, nullptr));
}
template <class Word, bool ReadersFirst>
void shared_lock<Word, ReadersFirst>::lock_shared(const context& ctx) {
  context_node* extra = &node_of(ctx);
  if (acquire(way::shared, never, true, extra) != sched::granted) throw_wait_canceled(extra);
}
template <class Word, bool ReadersFirst>
bool shared_lock<Word, ReadersFirst>::try_lock_shared() noexcept {
  choice_point(operation::try_lock, this);
  return look(way::shared);
}
template <class Word, bool ReadersFirst>
bool shared_lock<Word, ReadersFirst>::try_lock_shared_until(time_point deadline) {
  return acquire(way::shared, deadline, false, nullptr) == sched::granted;
}
template <class Word, bool ReadersFirst>
void shared_lock<Word, ReadersFirst>::unlock_shared() noexcept {
  choice_point(operation::unlock_shared, this);
  hb_release(&readers_);
  if (!word_.try_leave_shared()) release(way::shared, false);
}

template <class Word, bool ReadersFirst>
void shared_lock<Word, ReadersFirst>::unlock_and_lock_shared() noexcept {
  choice_point(operation::unlock, this);
  hb_release(&writers_);
  release(way::exclusive, true);
}

template class shared_lock<shared_word, false>;
template class shared_lock<shared_word, true>;
template class shared_lock<striped_shared_word, false>;

}  // namespace runnel::inline RUNNEL_ABI::detail
