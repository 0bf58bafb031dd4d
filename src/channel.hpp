// The core of a channel, for channel.cpp and select.cpp.
//
// Invariants (under the lock)
//  1. Receivers wait only while no element is buffered and no sender waits; senders wait only while the buffer is full
//     (always, at capacity 0) and no receiver waits. So at least one of the two queues is empty.
//  2. Once closed, nobody waits, and nothing is added to the buffer.
//  3. A waiting sender's value stays in its own frame until a receiver takes it; a waiting receiver's optional is
//     written by the sender, in the receiver's frame. Both frames stand still until the wake-up (waiter.hpp).
//  4. With all counted receivers gone the buffer is empty and every send finds the channel closed.
//  5. The core goes with the last reference, unless operations wait that will come back to it (returning_): those that
//     were not granted anything. Then the last of them takes it away. A granted one does not touch the core any more.
//     Without a reference nobody new comes, so whoever finds none to come back, and then nobody at the lock, is alone: who
//     says that it has come back does so under the lock.
// Order: first come, first served, for values and for both queues: a receive that takes a buffered value moves the first
// waiting sender's value into the buffer within the same critical section, so no newcomer can overtake it.
// No lost wake-up: see waiter.hpp; every operation looks and enqueues within one critical section.
// Elements are moved under the lock: an element's move must not use the channel. Left-over elements are
// destroyed outside of it, moved-from ones under it.
// Happens-before for TSan: per buffer cell and per hand-off slot, as the Go memory model promises (the k-th send before
// the k-th receive, the k-th receive before the send k + capacity), and from close to who sees it; not between senders.
// Source: the Go runtime's channel (src/runtime/chan.go).
#pragma once

#include "element_queue.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

// What happened to a waiting party, in wait_node::note; what a receiver's attempt threw is beside the value, in the
// sender's frame.
constexpr std::uint64_t completed = 0, saw_close = 1, move_threw = 2;

class channel_core : public sched::wait_object {
 public:
  /// In one piece with its ring.
  static channel_core* make(const element_ops& ops, std::size_t capacity, bool two_ends);
  channel_core(const element_ops& ops, std::size_t capacity, bool two_ends, std::byte* ring) noexcept
      : refs(two_ends ? 2 : 1),
        counted_senders(two_ends ? 1 : 0),
        counted_receivers(two_ends ? 1 : 0),
        ops_(ops),
        capacity_(capacity),
        nothrow_move_(ops.nothrow_move),
        buffer_(ops, capacity, ring) {}
  /// The last reference is gone, and the caller holds no lock.
  void orphan() noexcept;
  void destroy() noexcept;

  // Under the lock; `woken` is woken by the caller after it has released all locks.
  /// ok, closed or would_block. Throws what the element's move throws, with nothing changed.
  channel_status try_send_locked(void* value, sched::wake_list& woken);
  channel_status try_receive_locked(void* optional, sched::wake_list& woken);
  bool send_ready() const noexcept;
  bool receive_ready() const noexcept;
  bool receivers_waiting() const noexcept { return !receivers_.empty(); }
  /// The case without anybody who waits: the buffer takes the element, or gives one. Else false, and nothing was done.
  bool put_in_buffer(void* value) noexcept {
    if (buffer_.size() >= capacity_ || !receivers_.empty() || closed() || !nothrow_move_ || !buffer_.has_cell()) return false;
    put_back(value);
    return true;
  }
  bool take_from_buffer(void* optional) noexcept {
    if (buffer_.size() == 0 || !senders_.empty() || !nothrow_move_) return false;
    take_front(optional);
    return true;
  }
  /// `error` receives what a move on the sender's behalf throws.
  void enqueue_sender(sched::wait_node& n, void* value, std::exception_ptr& error) noexcept;
  void enqueue_receiver(sched::wait_node& n, void* optional) noexcept;
  void remove_sender(sched::wait_node& n) noexcept { senders_.remove(n); }
  void remove_receiver(sched::wait_node& n) noexcept { receivers_.remove(n); }
  /// A waiting operation keeps the core until it has returned to it, or was granted something.
  void expect_return() noexcept { count_returning(+1); }
  /// True: it was the last to know the channel, and destroys it once it has released the lock.
  [[nodiscard]] bool returned() noexcept { return count_returning(-1) == 0 && orphaned_; }

  /// After a wake-up that granted n: what happened. Throws what the hand-off threw on this side's behalf.
  /// The core may be gone; its address tells which close it was.
  static channel_status finish_send(const void* core, sched::wait_node& n, std::exception_ptr& error);
  static channel_status finish_receive(const void* core, sched::wait_node& n) noexcept;

  bool close() noexcept;
  void drop_sender() noexcept;
  void drop_receiver() noexcept;
  /// Closes it and destroys what is buffered, where it stands; how many.
  std::size_t discard() noexcept;

  // Without the lock. True only if a non-blocking receive, or send, would have done nothing at one instant during the call.
  bool seems_empty() const noexcept;
  bool seems_full() const noexcept;

  std::size_t size() const noexcept { return buffer_.size(); }
  std::size_t capacity() const noexcept { return capacity_; }
  bool is_closed() noexcept;

  shim::atomic<std::uint32_t> refs;
  shim::atomic<std::uint32_t> counted_senders;
  shim::atomic<std::uint32_t> counted_receivers;

 private:
  bool closed() const noexcept {
    return closed_.load(shim::order::acquire);  // acquire: pairs with close()
  }
  std::uint32_t count_returning(std::int32_t change) noexcept {
    // relaxed: it changes under the lock only
    const std::uint32_t now = returning_.load(shim::order::relaxed) + static_cast<std::uint32_t>(change);
    returning_.store(now, shim::order::release);  // release: who finds 0 finds the lock held, or free again, see orphan()
    return now;
  }
  void put_back(void* value);
  void take_front(void* optional);
  /// n has what it waited for, or the news that there is nothing.
  void granted(sched::wait_node& n, std::uint64_t outcome, sched::wake_list& woken) noexcept {
    n.note = outcome;
    count_returning(-1);
    woken.push(*n.owner);
  }
  void admit_waiting_sender(sched::wake_list& woken) noexcept;

  const element_ops& ops_;
  const std::size_t capacity_;
  const bool nothrow_move_;
  bool orphaned_ = false;         ///< no reference is left
  shim::atomic<std::uint32_t> returning_{0};  ///< waiting operations that were not granted anything; written under the lock
  element_queue buffer_;
  sched::wait_queue senders_;
  sched::wait_queue receivers_;
  shim::atomic<bool> closed_{false};
};

}  // namespace runnel::inline RUNNEL_ABI::detail
