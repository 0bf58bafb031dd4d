// The core of a work-stealing deque: its owner adds and takes the newest, anybody else takes the oldest. What it holds are
// words that fit into an atomic; where they stand, in a ring of a fixed size or in one that grows, is the parameter `Slots`.
//
// Invariants
//  1. Only the owner writes bottom_ and the slots; top_ only grows, by compare-exchange: of thieves, and of the owner for
//     the last element.
//  2. Elements are the slots [top_, bottom_); while the owner takes one, bottom_ already excludes it.
//  3. A ring that has been replaced by a larger one is not written any more: what a thief reads there it may still claim.
// Progress: the owner's operations are wait-free but for the growth, which allocates; a thief's is lock-free and does not
// retry: it fails only when another took the element that it was after, or the marks have changed (see below).
// Linearization: a push, when it stores bottom_. A pop of one of several, when it lowers bottom_; of the last one, and each
// steal, with the compare-exchange of top_. One that finds nothing, when it reads the second of the two indices.
// Orders
//  - Slots, and what their words lead to, are published by bottom_ (release) to thieves (acquire); its decrement releases
//    too, because a thief may read that one instead.
//  - The last element: the owner lowers bottom_ and then reads top_, a thief reads top_ and then bottom_, each with a seq_cst
//    fence between. So not both of them can miss the other; who sees it settles it by the compare-exchange of top_.
//  - A slot is used again after its thief has read it: the thief claims with release, push() acquires top_.
// The deque of the only worker has no thieves: there the owner's own order is enough.
//
// Biased to its owner (`Patience`): the owner's fence is a light one, and thieves pay (<runnel/base/heavy_fence.hpp>), but only
// until the owner notices. A thief marks top_ as `watched` and executes a heavy fence: after that the owner has either lowered
// bottom_ where the thief sees it, or sees the mark behind it. Who sees the mark executes a real fence in each pop, and says so
// by a second mark, `heeded`: then a real fence is enough for thieves, too. After `Patience` pops without a steal the owner takes
// both marks away.
//  - A claim expects the marks that its thief has seen. If they have been away meanwhile, and are back, it is right all the same:
//    it takes what stands at top_, and the owner, which knew top_ when it took them away, takes that one with a
//    compare-exchange, as always.
//  - Marks are above all indices: so one comparison tells the owner that nobody watches and that it is not at the last element.
// Without heavy fences both marks are there from the beginning.
// Source: Chase, Lev, "Dynamic circular work-stealing deque" (SPAA 2005, https://doi.org/10.1145/1073970.1073974), with the
// orders of Lê, Pop, Cohen, Zappa Nardelli (PPoPP 2013, https://doi.org/10.1145/2442516.2442524).
#pragma once

#include <runnel/base/atomic.hpp>
#include <runnel/base/heavy_fence.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace runnel::inline RUNNEL_ABI::detail {

/// So many slots and no more.
template <class Word, std::uint64_t Capacity>
class bounded_slots {
 public:
  static constexpr std::uint64_t capacity = Capacity;
  /// shared: there are thieves.
  explicit bounded_slots(bool shared) noexcept : shared_(shared) {}
  bool shared() const noexcept { return shared_; }

  /// Owner: whether there is room for one more than [top, bottom).
  bool make_room(std::uint64_t top, std::uint64_t bottom) noexcept { return bottom - top < capacity; }
  shim::atomic<Word>& owners(std::uint64_t i) noexcept { return slots_[i % capacity]; }
  shim::atomic<Word>& thiefs(std::uint64_t i) noexcept { return slots_[i % capacity]; }

 private:
  const bool shared_;
  std::array<shim::atomic<Word>, capacity> slots_{};
};

/// Slots that double when they are full. What they stood in before is kept, because thieves may read there; all of it
/// together is less than the present ring.
template <class Word>
class growing_slots {
 public:
  /// Room for `capacity` words, a power of two, to begin with.
  explicit growing_slots(std::uint64_t capacity) : ring_(new ring(capacity, nullptr)) {}
  growing_slots(const growing_slots&) = delete;
  growing_slots& operator=(const growing_slots&) = delete;
  ~growing_slots() {
    ring* r = ring_.load(shim::order::relaxed);  // relaxed: nobody else uses it any more
    while (r) delete std::exchange(r, r->before);
  }
  static constexpr bool shared() noexcept { return true; }

  bool make_room(std::uint64_t top, std::uint64_t bottom) {
    const ring& present = *ring_.load(shim::order::relaxed);  // relaxed: owner-only
    if (bottom - top > present.mask) [[unlikely]] grow(top, bottom);
    return true;
  }
  shim::atomic<Word>& owners(std::uint64_t i) noexcept {
    return ring_.load(shim::order::relaxed)->at(i);  // relaxed: owner-only
  }
  shim::atomic<Word>& thiefs(std::uint64_t i) noexcept {
    return ring_.load(shim::order::acquire)->at(i);  // acquire: pairs with grow(), the copies stand there
  }

 private:
  struct ring {
    ring(std::uint64_t n, ring* b) : mask(n - 1), before(b), slots(new shim::atomic<Word>[n]) {}
    shim::atomic<Word>& at(std::uint64_t i) const noexcept { return slots[i & mask]; }
    const std::uint64_t mask;
    ring* const before;
    const std::unique_ptr<shim::atomic<Word>[]> slots;
  };

  [[gnu::noinline]] void grow(std::uint64_t top, std::uint64_t bottom) {
    ring* old = ring_.load(shim::order::relaxed);  // relaxed: owner-only
    auto* larger = new ring(2 * (old->mask + 1), old);
    for (std::uint64_t i = top; i != bottom; ++i)
      // relaxed: own writes, and published by ring_
      larger->at(i).store(old->at(i).load(shim::order::relaxed), shim::order::relaxed);
    ring_.store(larger, shim::order::release);  // release: pairs with thiefs()
  }

  shim::atomic<ring*> ring_;
};

/// Patience: pops without a thief after which the deque is its owner's alone again; 0: each pop executes a fence, and thieves
/// never a heavy one.
template <class Word, class Slots, std::uint32_t Patience = 0>
class deque_core {
  static constexpr bool biased = Patience != 0;

 public:
  template <class... A>
  explicit deque_core(A... a) noexcept(noexcept(Slots(a...))) : slots_(a...) {
    // relaxed: nobody else knows it yet
    if (biased && slots_.shared() && !has_heavy_fence()) top_.store(lowest | watched | heeded, shim::order::relaxed);
  }

  bool empty() const noexcept { return size() == 0; }
  /// A hint to others; to the owner, what is there at least to be looked for.
  std::uint64_t size() const noexcept {
    // relaxed: a hint; whoever relies on it (an idle worker) has passed a seq_cst fence after announcing itself
    const std::uint64_t top = index(top_.load(shim::order::relaxed));
    const std::uint64_t bottom = bottom_.load(shim::order::relaxed);  // relaxed: as above
    return bottom > top ? bottom - top : 0;
  }

  /// Owner: false when it is full, and cannot grow. What the growth throws changes nothing.
  bool push(Word w) noexcept(noexcept(std::declval<Slots&>().make_room(0, 0))) {
    const std::uint64_t bottom = bottom_.load(shim::order::relaxed);   // relaxed: owner-only
    const std::uint64_t top = index(top_.load(shim::order::acquire));  // acquire: pairs with claim(), the slot is free
    if (!slots_.make_room(top, bottom)) return false;
    put(w, bottom);
    return true;
  }
  /// The same, biased and bounded, for one that is not the first, while nobody watches; else false, and nothing is done.
  bool push_quickly(Word w) noexcept {
    const std::uint64_t bottom = bottom_.load(shim::order::relaxed);  // relaxed: owner-only
    // relaxed: without marks no thief has claimed anything since heed(), which has seen what was claimed before a fence
    const std::uint64_t top = top_.load(shim::order::relaxed);
    if (bottom - top - 1 >= Slots::capacity - 1) [[unlikely]] return false;  // marks make it large
    put(w, bottom);
    return true;
  }

  /// Owner: the newest. False when there is none.
  bool pop(Word& w) noexcept {
    const std::uint64_t bottom = bottom_.load(shim::order::relaxed) - 1;  // relaxed: owner-only
    if (!take(bottom)) return false;
    w = slots_.owners(bottom).load(shim::order::relaxed);  // relaxed: own write
    return true;
  }
  /// The same, for an owner that knows which it is.
  bool pop() noexcept {
    return take(bottom_.load(shim::order::relaxed) - 1);  // relaxed: owner-only
  }

  /// Anybody: the oldest. False when there is none, another was faster, or the owner has just changed the marks.
  bool steal(Word& w) noexcept {
    std::uint64_t top = top_.load(shim::order::relaxed);  // relaxed: validated by the claim, ordered by the fence
    if (biased && !(top & heeded)) {
      // relaxed: a hint, whether to disturb the owner
      if (index(top) >= bottom_.load(shim::order::relaxed) || !watch(top)) return false;
      heavy_fence();  // with the light one in take(): see the head
    } else {
      shim::fence(shim::order::seq_cst);  // seq_cst: see the head
    }
    const std::uint64_t at = index(top);
    if (at >= bottom_.load(shim::order::acquire)) return false;  // acquire: the slot is filled
    w = slots_.thiefs(at).load(shim::order::relaxed);            // relaxed: validated by the claim
    return claim(top);
  }

  /// Owner: takes the older half out and calls each(word) for one after the other, the oldest first; how many.
  template <class Each>
    requires(!biased)
  std::uint64_t take_half(Each each) noexcept {
    std::uint64_t top = top_.load(shim::order::relaxed);  // relaxed: validated by the claim
    const std::uint64_t n = (bottom_.load(shim::order::relaxed) - top) / 2;  // relaxed: owner-only
    // relaxed: only the owner writes the slots, and it reads them before it writes them again
    if (n == 0 || !top_.compare_exchange(top, top + n, shim::order::relaxed, shim::order::relaxed)) return 0;
    for (std::uint64_t i = 0; i < n; ++i) each(slots_.owners(top + i).load(shim::order::relaxed));  // relaxed: own writes
    return n;
  }

 private:
  static constexpr std::uint64_t lowest = 1;  ///< so that what is below it is below it as a number
  static constexpr std::uint64_t watched = std::uint64_t{1} << 63, heeded = std::uint64_t{1} << 62;
  static constexpr std::uint64_t index(std::uint64_t top) noexcept { return biased ? top & (heeded - 1) : top; }

  void put(Word w, std::uint64_t bottom) noexcept {
    slots_.owners(bottom).store(w, shim::order::relaxed);  // relaxed: published by bottom_
    bottom_.store(bottom + 1, shim::order::release);       // release: publishes slot and element
  }

  /// Whether the owner gets what stands at `bottom`, the newest.
  bool take(std::uint64_t bottom) noexcept {
    if (!biased && empty()) return false;         // top_ only grows, and what it was a moment ago is enough to know
    bottom_.store(bottom, shim::order::release);  // release: see the head
    if (biased) {
      shim::light_fence();  // with the heavy one in steal()
    } else if (slots_.shared()) {
      shim::fence(shim::order::seq_cst);  // seq_cst: see the head
    }
    const std::uint64_t top = top_.load(shim::order::relaxed);  // relaxed: ordered by the fence
    if (top < bottom) [[likely]] return true;
    return biased ? take_slowly(bottom, top) : take_last(bottom, top);
  }
  [[gnu::noinline]] bool take_slowly(std::uint64_t bottom, std::uint64_t top) noexcept {
    if (top & watched) {
      shim::fence(shim::order::seq_cst);      // seq_cst: see the head
      top = top_.load(shim::order::relaxed);  // relaxed: ordered by the fence
      heed(top);
      if (index(top) < bottom) return true;
    }
    return take_last(bottom, top);
  }
  bool take_last(std::uint64_t bottom, std::uint64_t top) noexcept {
    bool taken = false;
    while (index(top) == bottom && !taken) taken = claim(top);  // it fails where only the marks have changed, too
    bottom_.store(bottom + 1, shim::order::relaxed);  // relaxed: it is empty, there is nothing to publish
    if (biased && taken && seen_ != 0) ++seen_;       // the owner's own claim, no thief's
    return taken;
  }

  bool claim(std::uint64_t& top) noexcept {
    // release: the slot is read before it is used again; relaxed on failure: nothing was taken
    return top_.compare_exchange(top, top + 1, shim::order::release, shim::order::relaxed);
  }

  /// Thief: marks it as watched; false when it has changed.
  bool watch(std::uint64_t& top) noexcept {
    if (top & watched) return true;
    const std::uint64_t to = top | watched;
    if (!top_.compare_exchange(top, to, shim::order::relaxed, shim::order::relaxed)) return false;  // relaxed: a fence follows
    top = to;
    return true;
  }
  /// Owner, behind a fence: tells thieves that it fences; or that it does not, if the last one was here long ago, at least one
  /// pop: so that a fence lies between the sight of the last claim and the end of the marks.
  void heed(std::uint64_t top) noexcept {
    std::uint64_t to = top | heeded;
    if (to != seen_) {
      seen_ = to;
      calm_ = 0;
    } else if (++calm_ >= Patience && has_heavy_fence()) {
      to = index(top);
      seen_ = 0;
    }
    // relaxed: the fence before it, or the head; who has changed it meanwhile is a thief
    if (to != top) top_.compare_exchange(top, to, shim::order::relaxed, shim::order::relaxed);
  }

  Slots slots_;
  shim::atomic<std::uint64_t> top_{lowest};
  shim::atomic<std::uint64_t> bottom_{lowest};
  // Owner only, of a biased one.
  std::uint64_t seen_ = 0;  ///< what top_ was
  std::uint32_t calm_ = 0;  ///< pops since then
};

}  // namespace runnel::inline RUNNEL_ABI::detail
