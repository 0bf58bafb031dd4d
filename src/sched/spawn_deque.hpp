// A worker's fibers that have not begun yet: the owner takes the newest, thieves take the oldest. So a tree of tasks is
// worked through depth first, in the caches and with few stacks, and a thief gets the largest subtree.
//
// Invariants
//  1. Only the owner writes bottom_ and the slots; top_ only grows, by compare-exchange: of thieves, and of the owner for
//     the last element.
//  2. Elements are the slots [top_, bottom_); while the owner takes one, bottom_ already excludes it.
// Orders
//  - Slots and fibers are published by bottom_ (release) to thieves (acquire); its decrement releases too, because a thief
//    may read that one instead.
//  - The last element: the owner lowers bottom_ and then reads top_, a thief reads top_ and then bottom_, each with a seq_cst
//    fence between. So not both of them can miss the other; who sees it settles it by the compare-exchange of top_.
//  - A slot is used again after its thief has read it: the thief claims with release, push() acquires top_.
// The deque of the only worker has no thieves: there the owner's own order is enough.
// Source: Chase, Lev, "Dynamic circular work-stealing deque" (SPAA 2005, https://doi.org/10.1145/1073970.1073974), with the
// orders of Lê, Pop, Cohen, Zappa Nardelli (PPoPP 2013, https://doi.org/10.1145/2442516.2442524); bounded.
#pragma once

#include "base/sizes.hpp"
#include "sched/agent.hpp"

#include <array>

namespace runnel::inline RUNNEL_ABI::sched {

class spawn_deque {
 public:
  static constexpr std::uint64_t capacity = sizes::ring;

  explicit spawn_deque(bool shared = true) noexcept : shared_(shared) {}

  bool empty() const noexcept { return size() == 0; }
  /// A hint to others; to the owner, what is there at least to be looked for.
  std::uint64_t size() const noexcept {
    const std::uint64_t top = top_.load(shim::order::relaxed);        // relaxed: as run_queue::empty()
    const std::uint64_t bottom = bottom_.load(shim::order::relaxed);  // relaxed: as above
    return bottom > top ? bottom - top : 0;
  }

  /// Owner: false when full.
  bool push(fiber* f) noexcept {
    const std::uint64_t bottom = bottom_.load(shim::order::relaxed);  // relaxed: owner-only
    if (bottom - top_.load(shim::order::acquire) >= capacity) return false;  // acquire: pairs with claim(), the slot is free
    slots_[bottom % capacity].store(f, shim::order::relaxed);  // relaxed: published by bottom_
    bottom_.store(bottom + 1, shim::order::release);           // release: publishes slot and fiber
    return true;
  }

  /// Owner: the newest, or null.
  fiber* pop() noexcept {
    if (empty()) return nullptr;  // top_ only grows, and what it was a moment ago is enough to know
    const std::uint64_t bottom = bottom_.load(shim::order::relaxed) - 1;  // relaxed: owner-only
    bottom_.store(bottom, shim::order::release);                          // release: see the head
    if (shared_) shim::fence(shim::order::seq_cst);                       // seq_cst: see the head
    const std::uint64_t top = top_.load(shim::order::relaxed);            // relaxed: ordered by the fence
    fiber* f = nullptr;
    if (top < bottom) return slots_[bottom % capacity].load(shim::order::relaxed);  // relaxed: own write
    if (top == bottom) {
      f = slots_[bottom % capacity].load(shim::order::relaxed);  // relaxed: own write
      if (!claim(top)) f = nullptr;
    }
    bottom_.store(bottom + 1, shim::order::relaxed);  // relaxed: it is empty, there is nothing to publish
    return f;
  }

  /// Owner, when full: takes the older half out, linked through fiber::next; first, last and count. Null: thieves have made
  /// room.
  fiber* take_half(fiber*& last, std::uint64_t& n) noexcept {
    std::uint64_t top = top_.load(shim::order::relaxed);  // relaxed: validated by the claim
    n = (bottom_.load(shim::order::relaxed) - top) / 2;   // relaxed: owner-only
    // relaxed: only the owner writes the slots, and it reads them before it writes them again
    if (n == 0 || !top_.compare_exchange(top, top + n, shim::order::relaxed, shim::order::relaxed)) return nullptr;
    fiber* first = last = slots_[top % capacity].load(shim::order::relaxed);  // relaxed: own write
    for (std::uint64_t i = 1; i < n; ++i)
      last = last->next = slots_[(top + i) % capacity].load(shim::order::relaxed);  // relaxed: own writes
    return first;
  }

  /// Anybody: the oldest, or null when there is none or another was faster.
  fiber* steal() noexcept {
    const std::uint64_t top = top_.load(shim::order::relaxed);  // relaxed: validated by the claim, ordered by the fence
    shim::fence(shim::order::seq_cst);                          // seq_cst: see the head
    if (top >= bottom_.load(shim::order::acquire)) return nullptr;     // acquire: the slot is filled
    fiber* f = slots_[top % capacity].load(shim::order::relaxed);      // relaxed: validated by the claim
    return claim(top) ? f : nullptr;
  }

 private:
  bool claim(std::uint64_t top) noexcept {
    // release: the slot is read before it is used again; relaxed on failure: nothing was taken
    return top_.compare_exchange(top, top + 1, shim::order::release, shim::order::relaxed);
  }

  const bool shared_;
  shim::atomic<std::uint64_t> top_{0};
  shim::atomic<std::uint64_t> bottom_{0};
  std::array<shim::atomic<fiber*>, capacity> slots_{};
};

}  // namespace runnel::inline RUNNEL_ABI::sched
