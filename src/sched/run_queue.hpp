// A worker's own queue: a ring of fibers, first in first out, that others may steal half of, and in front of
// it the run-next slot for the fiber that the running one has just made runnable.
//
// Invariants
//  1. Only the owner writes tail_ and the slots; owner and thieves advance head_ by compare-exchange.
//  2. head_ <= tail_ <= head_ + capacity, as distances between 32-bit counters that wrap.
// A thief copies the slots before it claims them: a copy that became stale is thrown away with the failed
// compare-exchange, because a slot is reused only after head_ has moved past it.
// Orders
//  - Slots and fibers are published by tail_ (release) to thieves (acquire). The owner reads its own writes.
//  - A slot is reused after its thief has read it: the thief claims with release; who writes the slot next has acquired
//    head_: push() itself, and steal_from() because the pop() that found the queue empty did. Claims are read-modify-writes,
//    so the newest value carries the releases of all claims before it.
//  - Nothing else needs one. What a claim takes is decided by the value of head_ alone; a tail_ that is older than head_
//    shows as a distance that cannot be.
// The queue of the only worker has no thieves, and the monitor takes nothing for nobody: there the owner claims by plain
// stores.
// Source: the run queue of the Go runtime (src/runtime/proc.go: runqput, runqget, runqgrab).
#pragma once

#include "base/sizes.hpp"
#include "sched/agent.hpp"

#include <array>

namespace runnel::inline RUNNEL_ABI::sched {

class run_queue {
 public:
  static constexpr std::uint32_t capacity = sizes::ring;

  explicit run_queue(bool shared = true) noexcept : shared_(shared) {}

  bool empty() const noexcept {
    // relaxed: a hint; whoever relies on it (an idle worker) has passed a seq_cst fence after announcing itself
    return head_.load(shim::order::relaxed) == tail_.load(shim::order::relaxed);
  }

  /// Owner: false when full.
  bool push(fiber* f) noexcept {
    const std::uint32_t head = head_.load(shim::order::acquire);  // acquire: pairs with the claim of thieves, the slot is free
    const std::uint32_t tail = tail_.load(shim::order::relaxed);  // relaxed: owner-only
    if (tail - head >= capacity) return false;
    slots_[tail % capacity].store(f, shim::order::relaxed);  // relaxed: published by tail_
    tail_.store(tail + 1, shim::order::release);             // release: publishes slot and fiber to thieves
    return true;
  }

  /// Owner: the oldest, or null.
  fiber* pop() noexcept {
    // acquire: pairs with the claims of thieves; when they took the rest, their slots may be written by steal_from() next
    std::uint32_t head = head_.load(shim::order::acquire);
    for (;;) {
      if (head == tail_.load(shim::order::relaxed)) return nullptr;          // relaxed: owner-only
      fiber* f = slots_[head % capacity].load(shim::order::relaxed);         // relaxed: own writes
      if (!shared_) {
        head_.store(head + 1, shim::order::relaxed);  // relaxed: owner-only, then
        return f;
      }
      // acquire on failure: a thief has taken some, as above; on success nothing is needed (only the owner reuses the slot),
      // but g++ 12 warns where success is weaker than failure
      if (head_.compare_exchange(head, head + 1, shim::order::acquire, shim::order::acquire)) return f;
    }
  }

  /// Owner, when full: takes the older half out, linked through fiber::next; the count through `n`.
  fiber* take_half(std::uint32_t& n) noexcept {
    std::uint32_t head = head_.load(shim::order::relaxed);  // relaxed: validated by the claim; push() acquires for itself
    n = (tail_.load(shim::order::relaxed) - head) / 2;      // relaxed: owner-only
    fiber* taken[capacity / 2];
    for (std::uint32_t i = 0; i < n; ++i)
      taken[i] = slots_[(head + i) % capacity].load(shim::order::relaxed);  // relaxed: own writes
    // relaxed: as in pop(); failure: a thief was here, there is room now
    if (n == 0 || !head_.compare_exchange(head, head + n, shim::order::relaxed, shim::order::relaxed)) {
      n = 0;
      return nullptr;
    }
    for (std::uint32_t i = 0; i < n; ++i) taken[i]->next = i + 1 < n ? taken[i + 1] : nullptr;
    return taken[0];
  }

  /// Thief: moves about half of the victim's fibers here and returns one of them, or null. The caller owns this queue, and
  /// its pop() has just found it empty.
  fiber* steal_from(run_queue& victim) noexcept {
    std::uint32_t head = victim.head_.load(shim::order::relaxed);  // relaxed: validated by the claim
    for (;;) {
      const std::uint32_t tail = victim.tail_.load(shim::order::acquire);  // acquire: the slots below are filled
      std::uint32_t n = tail - head;
      n -= n / 2;
      if (n == 0) return nullptr;
      if (n > capacity / 2) {  // head and tail were read at different times: look again
        head = victim.head_.load(shim::order::relaxed);  // relaxed: as above
        continue;
      }
      const std::uint32_t mine = tail_.load(shim::order::relaxed);  // relaxed: owner-only
      for (std::uint32_t i = 0; i < n; ++i) {
        fiber* f = victim.slots_[(head + i) % capacity].load(shim::order::relaxed);  // relaxed: validated by the claim
        slots_[(mine + i) % capacity].store(f, shim::order::relaxed);                // relaxed: published by tail_
      }
      // release: the copies above are read before the slots are reused; relaxed on failure: nothing was taken
      if (!victim.head_.compare_exchange(head, head + n, shim::order::release, shim::order::relaxed)) continue;
      fiber* last = slots_[(mine + n - 1) % capacity].load(shim::order::relaxed);  // relaxed: own write
      if (n > 1) tail_.store(mine + n - 1, shim::order::release);                  // release: publishes to thieves
      return last;
    }
  }

  /// Owner: puts f into the run-next slot and returns who stood there.
  fiber* put_next(fiber* f) noexcept {
    if (has_next()) return exchange_next(f);
    next_.store(f, shim::order::release);  // release: hands it to the monitor, which only takes; so an empty slot stays empty
    return nullptr;
  }
  /// Puts f into the run-next slot and returns who stood there. Owner, or the monitor with null.
  fiber* exchange_next(fiber* f) noexcept {
    if (!shared_) {
      fiber* before = next_.load(shim::order::relaxed);  // relaxed: owner-only, then
      next_.store(f, shim::order::relaxed);              // relaxed: as above
      return before;
    }
    return next_.exchange(f, shim::order::acq_rel);  // acq_rel: hands the fiber over between owner and monitor
  }
  bool has_next() const noexcept {
    return next_.load(shim::order::relaxed) != nullptr;  // relaxed: a hint, rechecked by exchange_next()
  }

 private:
  const bool shared_;
  shim::atomic<std::uint32_t> head_{0};
  shim::atomic<std::uint32_t> tail_{0};
  shim::atomic<fiber*> next_{nullptr};
  std::array<shim::atomic<fiber*>, capacity> slots_{};
};

}  // namespace runnel::inline RUNNEL_ABI::sched
