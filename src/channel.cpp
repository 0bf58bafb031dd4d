#include "channel.hpp"

#include "cancellation.hpp"
#include "fiber/sanitizer.hpp"

#include <runnel/error.hpp>
#include <runnel/sched/frame.hpp>
#include <runnel/sched/operation.hpp>

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

namespace runnel::inline RUNNEL_ABI::detail {

using sanitizer::hb_acquire;
using sanitizer::hb_release;
using sched::choice_point;
using sched::operation;

// ---- under the lock --------------------------------------------------------------------------------------------

bool channel_core::send_ready() const noexcept {
  return closed() || !receivers_.empty() || buffer_.size() < capacity_;
}
bool channel_core::receive_ready() const noexcept { return closed() || buffer_.size() != 0 || !senders_.empty(); }

channel_status channel_core::try_send_locked(void* value, sched::wake_list& woken) {
  if (closed()) {
    hb_acquire(this);
    return channel_status::closed;
  }
  while (sched::wait_node* n = ops_.nothrow_move ? receivers_.claim_front() : receivers_.hold_front()) {
    hb_acquire(n->slot);
    if (ops_.nothrow_move) {
      ops_.deliver(n->slot, value);
    } else {
      try {
        ops_.deliver(n->slot, value);
      } catch (...) {
        // The receiver goes on waiting, at its place; unless it was refused an end meanwhile.
        if (n->owner->revert()) {
          woken.push(*n->owner);
        } else {
          receivers_.push_front(*n);
        }
        throw;
      }
      n->owner->commit(n->token);
    }
    hb_release(n->slot);
    granted(*n, completed, woken);
    return channel_status::ok;
  }
  if (buffer_.size() >= capacity_) return channel_status::would_block;
  put_back(value);
  return channel_status::ok;
}

/// Moves *value to the end of the buffer, which has room. May throw: then nothing has changed.
void channel_core::put_back(void* value) {
  void* cell = buffer_.back();
  const void* mark = buffer_.back_mark(cell);
  hb_acquire(mark);
  ops_.construct(cell, value);
  hb_release(mark);
  buffer_.pushed();
}

/// Moves the oldest buffered element to *optional. The move may throw: then it stays.
void channel_core::take_front(void* optional) {
  void* cell = buffer_.front();
  const void* mark = buffer_.front_mark();
  hb_acquire(mark);
  ops_.take(optional, cell);
  hb_release(mark);
  buffer_.popped();
}

/// The buffer has room: the first waiting sender's value goes in. A move that throws is that sender's.
void channel_core::admit_waiting_sender(sched::wake_list& woken) noexcept {
  while (sched::wait_node* n = senders_.claim_front()) {
    std::uint64_t outcome = completed;
    hb_acquire(n->slot);
    try {
      put_back(n->slot);
    } catch (...) {
      outcome = move_threw;
      *reinterpret_cast<std::exception_ptr*>(n->note) = std::current_exception();
    }
    hb_release(n->slot);
    granted(*n, outcome, woken);
    if (outcome == completed) return;
  }
}

channel_status channel_core::try_receive_locked(void* optional, sched::wake_list& woken) {
  if (buffer_.size() != 0) {
    take_front(optional);
    admit_waiting_sender(woken);
    return channel_status::ok;
  }
  while (sched::wait_node* n = ops_.nothrow_move ? senders_.claim_front() : senders_.hold_front()) {
    hb_acquire(n->slot);
    if (ops_.nothrow_move) {
      ops_.deliver(optional, n->slot);
    } else {
      try {
        ops_.deliver(optional, n->slot);
      } catch (...) {
        if (n->owner->revert()) {
          woken.push(*n->owner);
        } else {
          senders_.push_front(*n);
        }
        throw;
      }
      n->owner->commit(n->token);
    }
    hb_release(n->slot);
    granted(*n, completed, woken);
    return channel_status::ok;
  }
  if (closed()) {
    hb_acquire(this);
    return channel_status::closed;
  }
  return channel_status::would_block;
}

void channel_core::enqueue_sender(sched::wait_node& n, void* value, std::exception_ptr& error) noexcept {
  n.slot = value;
  n.note = reinterpret_cast<std::uintptr_t>(&error);
  hb_release(value);
  n.owner->may_be_ended_by(*this);
  senders_.push_back(n);
}
void channel_core::enqueue_receiver(sched::wait_node& n, void* optional) noexcept {
  n.slot = optional;
  hb_release(optional);
  n.owner->may_be_ended_by(*this);
  receivers_.push_back(n);
}

channel_status channel_core::finish_send(const void* core, sched::wait_node& n, std::exception_ptr& error) {
  hb_acquire(n.slot);
  if (n.note == saw_close) {
    hb_acquire(core);
    return channel_status::closed;
  }
  if (n.note == move_threw) std::rethrow_exception(std::exchange(error, nullptr));
  return channel_status::ok;
}
channel_status channel_core::finish_receive(const void* core, sched::wait_node& n) noexcept {
  hb_acquire(n.slot);
  if (n.note == completed) return channel_status::ok;
  hb_acquire(core);
  return channel_status::closed;
}

// ---- whole operations ------------------------------------------------------------------------------------------

// Two loads, in this order. Elements are buffered, or a sender waits at capacity 0, or the channel is closed, or a receive
// does nothing; a channel that is open at the second load was open at the first.
bool channel_core::seems_empty() const noexcept {
  return (capacity_ ? buffer_.size() == 0 : senders_.seems_empty()) && !closed();
}
bool channel_core::seems_full() const noexcept {
  return (capacity_ ? buffer_.size() >= capacity_ : receivers_.seems_empty()) && !closed();
}

bool channel_core::close() noexcept {
  if (closed()) return false;
  sched::wake_list woken;
  {
    raw_guard hold(lock);
    if (closed()) return false;
    hb_release(this);
    closed_.store(true, shim::order::release);  // release: pairs with closed()
    for (sched::wait_queue* q : {&senders_, &receivers_}) {
      while (sched::wait_node* n = q->claim_front()) {
        granted(*n, saw_close, woken);
      }
    }
  }
  woken.wake_all();
  return true;
}

namespace {
/// Gives one count up; true for the last one. Only who has a count can make more, so the only one need not write.
bool last_of(shim::atomic<std::uint32_t>& counts) noexcept {
  // acquire: pairs with the giving up of the others; acq_rel: the same, and hands on what this one did
  return counts.load(shim::order::acquire) == 1 || counts.fetch_sub(1, shim::order::acq_rel) == 1;
}
}  // namespace

void channel_core::drop_sender() noexcept {
  hb_release(&counted_senders);
  if (!last_of(counted_senders)) return;  // what every sender did happens before the close
  hb_acquire(&counted_senders);
  close();
}

void channel_core::drop_receiver() noexcept {
  hb_release(&counted_receivers);
  if (!last_of(counted_receivers)) return;  // as above
  hb_acquire(&counted_receivers);
  discard();
}

std::size_t channel_core::discard() noexcept {
  close();
  if (buffer_.size() == 0) return 0;  // closed: nothing comes any more
  lock.lock();
  const element_queue left(buffer_);
  lock.unlock();  // before `left` is destroyed: a destructor may use other handles
  return left.size();
}

bool channel_core::is_closed() noexcept {
  if (!closed()) return false;
  hb_acquire(this);
  return true;
}

channel_core* make_channel_core(const element_ops& ops, std::size_t capacity, bool two_ends) {
  if (ops.size && capacity > std::numeric_limits<std::ptrdiff_t>::max() / ops.size)
    throw std::length_error("runnel::channel: a capacity of " + std::to_string(capacity) +
                            " elements exceeds the address space; give a smaller one");
  return channel_core::make(ops, capacity, two_ends);
}

namespace {
constexpr std::size_t default_alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

/// The core's size with the padding that aligns the ring behind it.
std::size_t core_bytes(const element_ops& ops) noexcept {
  return (sizeof(channel_core) + ops.align - 1) / ops.align * ops.align;
}
std::size_t all_bytes(const element_ops& ops, std::size_t capacity) noexcept {
  return core_bytes(ops) + element_queue::ring_bytes(ops, capacity);
}
}  // namespace

channel_core* channel_core::make(const element_ops& ops, std::size_t capacity, bool two_ends) {
  const std::size_t bytes = all_bytes(ops, capacity);
  void* memory = ops.align > default_alignment ? ::operator new(bytes, std::align_val_t{ops.align}) : sched::take_frame(bytes);
  return ::new (memory) channel_core(ops, capacity, two_ends, static_cast<std::byte*>(memory) + core_bytes(ops));
}

void channel_core::destroy() noexcept {
  const std::size_t align = ops_.align, bytes = all_bytes(ops_, capacity_);
  this->~channel_core();
  if (align > default_alignment) {
    ::operator delete(static_cast<void*>(this), std::align_val_t{align});
  } else {
    sched::give_frame(this, bytes);
  }
}

void channel_core::orphan() noexcept {
  // acquire: pairs with count_returning(). Who has come back had the lock by then, so the look at it comes second
  if (returning_.load(shim::order::acquire) != 0 || !lock.seems_free()) {
    raw_guard hold(lock);
    if (returning_.load(shim::order::relaxed) != 0) {  // relaxed: under the lock
      orphaned_ = true;
      return;
    }
  }
  destroy();
}

void channel_add_ref(channel_core* c) noexcept {
  c->refs.fetch_add(1, shim::order::relaxed);  // relaxed: the caller has a reference already
}
void channel_release(channel_core* c) noexcept {
  hb_release(&c->refs);
  if (!last_of(c->refs)) return;  // what every holder did happens before the destruction
  hb_acquire(&c->refs);
  c->orphan();
}

namespace {

/// Releases the lock, at the end of an operation.
void leave(channel_core* c, bool expected) noexcept {
  const bool last = expected && c->returned();
  c->lock.unlock();
  if (last) c->destroy();
}

/// A send that the buffer could not take at once. Comes with the lock.
[[gnu::noinline]] channel_status send_slowly(sched::agent& caller, channel_core* c, void* value, const channel_wait& how) {
  sched::waiter w(caller);
  sched::wake_list woken;
  sched::wait_node n(w);
  std::exception_ptr error;
  for (bool expected = false;;) {  // at the channel: a wait that has to be repeated is not over
    channel_status s;
    try {
      s = c->try_send_locked(value, woken);
    } catch (...) {
      leave(c, expected);
      woken.wake_all();
      throw;
    }
    if (s != channel_status::would_block || !how.block) {
      leave(c, expected);
      // After a hand-off neither handle nor channel is touched: the other side may have destroyed both.
      woken.wake_all();
      if (how.block) spend_turn(caller);
      return s;
    }
    if (!std::exchange(expected, true)) c->expect_return();
    c->enqueue_sender(n, value, error);
    c->lock.unlock();
    const sched::claim_token t = wait(caller, w, sched::wait_reason::channel_send, c, how.deadline, how.extra);
    if (t == sched::granted) return channel_core::finish_send(c, n, error);
    c->lock.lock();
    c->remove_sender(n);
    if (t == sched::retry) {
      w.rearm();
      continue;
    }
    leave(c, true);
    if (t == sched::timed_out) return channel_status::timed_out;
    throw_wait_canceled(how.extra);
  }
}

/// The same for a receive. Comes with the lock.
[[gnu::noinline]] channel_status receive_slowly(sched::agent& caller, channel_core* c, void* optional, const channel_wait& how) {
  sched::waiter w(caller);
  sched::wake_list woken;
  sched::wait_node n(w);
  for (bool expected = false;;) {  // at the channel: a wait that has to be repeated is not over
    channel_status s;
    try {
      s = c->try_receive_locked(optional, woken);
    } catch (...) {
      leave(c, expected);
      woken.wake_all();
      throw;
    }
    if (s != channel_status::would_block || !how.block) {
      leave(c, expected);
      // After a hand-off neither handle nor channel is touched: the other side may have destroyed both.
      woken.wake_all();
      if (how.block) spend_turn(caller);
      return s;
    }
    if (!std::exchange(expected, true)) c->expect_return();
    c->enqueue_receiver(n, optional);
    c->lock.unlock();
    const sched::claim_token t = wait(caller, w, sched::wait_reason::channel_receive, c, how.deadline, how.extra);
    if (t == sched::granted) return channel_core::finish_receive(c, n);
    c->lock.lock();
    c->remove_receiver(n);
    if (t == sched::retry) {
      w.rearm();
      continue;
    }
    leave(c, true);
    if (t == sched::timed_out) return channel_status::timed_out;
    throw_wait_canceled(how.extra);
  }
}

}  // namespace

channel_status channel_send(channel_core* c, void* value, const channel_wait& how) {
  choice_point(operation::send, c);
  if (!how.block && c->seems_full()) return channel_status::would_block;
  sched::agent& caller = sched::this_agent();
  if (how.block) check_canceled(caller, how.extra);
  c->lock.lock();
  if (!c->put_in_buffer(value)) return send_slowly(caller, c, value, how);
  c->lock.unlock();
  if (how.block) spend_turn(caller);
  return channel_status::ok;
}

channel_status channel_receive(channel_core* c, void* optional, const channel_wait& how) {
  choice_point(operation::receive, c);
  if (!how.block && c->seems_empty()) return channel_status::would_block;
  sched::agent& caller = sched::this_agent();
  if (how.block) check_canceled(caller, how.extra);
  c->lock.lock();
  if (!c->take_from_buffer(optional)) return receive_slowly(caller, c, optional, how);
  c->lock.unlock();
  if (how.block) spend_turn(caller);
  return channel_status::ok;
}

namespace {
constexpr std::size_t most_under_one_lock = 64;  // others want it too

void* element(void* first, std::size_t stride, std::size_t i) noexcept { return static_cast<std::byte*>(first) + i * stride; }

/// Calls step(i, woken) for i in [0, n) under the lock until one does not end with ok; the count, and through `s` how the last
/// one ended.
template <class Step>
std::size_t under_one_lock(channel_core* c, std::size_t n, channel_status& s, Step step) {
  sched::wake_list woken;
  std::size_t done = 0;
  s = channel_status::ok;
  c->lock.lock();
  try {
    for (; done < n; ++done)
      if ((s = step(done, woken)) != channel_status::ok) break;
  } catch (...) {
    c->lock.unlock();
    woken.wake_all();
    throw;
  }
  c->lock.unlock();
  woken.wake_all();
  return done;
}
}  // namespace

std::size_t channel_send_n(channel_core* c, void* first, std::size_t stride, std::size_t n, context_node* extra) {
  sched::agent& caller = sched::this_agent();
  std::size_t sent = 0;
  for (;;) {
    choice_point(operation::send, c);
    check_canceled(caller, extra);
    channel_status s;
    const std::size_t limit = std::min(n - sent, most_under_one_lock);
    sent += under_one_lock(c, limit, s, [&](std::size_t i, sched::wake_list& woken) {
      return c->try_send_locked(element(first, stride, sent + i), woken);
    });
    spend_turn(caller);
    if (s == channel_status::would_block) {
      if (channel_send(c, element(first, stride, sent), {true, never, extra}) != channel_status::ok) return sent;
      ++sent;
    }
    if (s == channel_status::closed || sent == n) return sent;
  }
}

std::size_t channel_receive_some(channel_core* c, void* first, std::size_t stride, std::size_t n, context_node* extra) {
  choice_point(operation::receive, c);
  sched::agent& caller = sched::this_agent();
  check_canceled(caller, extra);
  channel_status s;
  const std::size_t came = under_one_lock(c, std::min(n, most_under_one_lock), s, [&](std::size_t i, sched::wake_list& woken) {
    return c->try_receive_locked(element(first, stride, i), woken);
  });
  spend_turn(caller);
  if (came != 0 || s == channel_status::closed) return came;
  return channel_receive(c, first, {true, never, extra}) == channel_status::ok ? 1 : 0;
}

void check_channel_operation(channel_core*, context_node* extra) { check_canceled(extra); }
bool channel_close(channel_core* c) noexcept {
  choice_point(operation::close, c);
  return c->close();
}
std::size_t channel_size(channel_core* c) noexcept {
  choice_point(operation::look, c);
  return c->size();
}
std::size_t channel_capacity(channel_core* c) noexcept { return c->capacity(); }
bool channel_is_closed(channel_core* c) noexcept {
  choice_point(operation::look, c);
  return c->is_closed();
}
std::size_t channel_discard(channel_core* c) noexcept {
  choice_point(operation::close, c);
  return c->discard();
}
void channel_add_sender(channel_core* c) noexcept {
  c->counted_senders.fetch_add(1, shim::order::relaxed);  // relaxed: the caller has a counted one, or is the first
}
void channel_drop_sender(channel_core* c) noexcept {
  choice_point(operation::close, c);
  c->drop_sender();
}
void channel_add_receiver(channel_core* c) noexcept {
  c->counted_receivers.fetch_add(1, shim::order::relaxed);  // relaxed: as above
}
void channel_drop_receiver(channel_core* c) noexcept {
  choice_point(operation::close, c);
  c->drop_receiver();
}

}  // namespace runnel::inline RUNNEL_ABI::detail
