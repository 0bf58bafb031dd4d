// A bounded queue for many producers and many consumers. Nobody waits in it: a push into a full one and a pop from an
// empty one say so.
//
// Use when: threads exchange small things at a high rate and have something else to do when there is none: free lists,
// a scheduler's own queues, real-time code. When not: someone should wait for an element or for room; then a channel,
// whose fibers park where these would spin. One producer and one consumer: spsc_queue.
// Guarantees: FIFO. Linearizable, together with everything else that is: "empty" and "full" were true at one instant of
// the call, and whoever pushes and then pops never finds it empty. What happened before a push happens before the pop
// that takes the element; a pop happens before the push that takes its place.
// Progress: no lock, but not lock-free in the strict sense: a thread that is stopped between the claim of a cell and
// its publication, a few instructions later, holds up those who come to that cell; they pause, then give way. Whoever
// is stopped elsewhere holds up nobody.
// Thread-safety: all operations from anywhere; making and ending the queue by one. Moves and destructors of elements
// run on who executes the operation, and may neither wait nor use the queue.
// Errors: capacity 0 throws misuse, one beyond all memory std::length_error. A construction that throws changes
// nothing. When the move out of the queue throws, the caller gets the exception and that element is gone.
// Cost: one read-modify-write for each operation, none for one that finds it full or empty; 8 bytes beside each
// element. An element whose move may throw has an allocation of its own.
// Source: D. Vyukov, "Bounded MPMC queue",
// https://www.1024cores.net/home/lock-free-algorithms/queues/bounded-mpmc-queue; the lap above the index: crossbeam's
// ArrayQueue; the tests for full and empty: see below.
//
// Invariants. A position is a lap and, in its low bits, an index below the capacity; lap_ is the next power of two
// above the capacity, so that p + 1 is never the position of the next lap. head_ <= tail_ <= head_ + a lap.
//  1. The stamp of a cell is p: it waits for the push with position p; p + 1: it holds the element of p. Whoever moves
//     tail_ on from p owns the cell until it stores p + 1; whoever moves head_ on from p, until it stores p + lap_.
//  2. A push linearizes where it moves tail_ on, a pop where it moves head_ on. A pop at p that finds tail_ at p was at
//     an empty queue at that instant: head_ had been p and never passes tail_. A push at p that finds head_ a lap
//     behind: full.
//  3. The counters are moved on, and the other one is read for that test, with seq_cst. So of two that push into one
//     queue each and then look at the other's, one finds something. In a total order of all queues that is what
//     linearizable means.
//  4. Neither "full" nor "empty", and the stamp does not fit: the position is out of date, or the cell's owner is at
//     work.
//
// Rejected: SCQ (R. Nikolaev, DISC 2019, https://doi.org/10.4230/LIPIcs.DISC.2019.28), which is lock-free in the strict
// sense: two rings of indices, so two claims for each operation, and twice the memory. A ticket by fetch_add for each
// attempt, as oneTBB: a push that finds no room has a ticket already and would have to wait. See docs/design/0055.
#pragma once

#include <runnel/base/backoff.hpp>
#include <runnel/detail/queue_cell.hpp>
#include <runnel/lockfree/cache_padded.hpp>
#include <runnel/sched/operation.hpp>

#include <bit>
#include <optional>

namespace runnel::inline RUNNEL_ABI::lockfree {

template <class T>
class mpmc_queue {
  static_assert(detail::queue_element<T>, "runnel: an element of a queue must be an object with a noexcept destructor");
  /// A move that may throw cannot be made in a claimed cell: the cell holds a pointer.
  static constexpr bool boxed = !std::is_nothrow_move_constructible_v<T>;

 public:
  using value_type = T;

  /// `capacity`: 1 or more elements, which it holds exactly. Allocates all cells.
  explicit mpmc_queue(std::size_t capacity) : mpmc_queue(capacity, 0) {}
  mpmc_queue(const mpmc_queue&) = delete;
  mpmc_queue& operator=(const mpmc_queue&) = delete;
  /// Destroys what is left.
  ~mpmc_queue() {
    std::uint64_t p = head_->load(shim::order::relaxed);  // relaxed: the one who ends it is ordered after all operations
    for (; p != tail_->load(shim::order::relaxed); p = after(p, index_of(p))) cells_[index_of(p)].end();
  }

  /// Moves v in, or returns false and leaves it: full.
  /// - blocks: never; at a cell that another thread is at work on, for that moment
  /// - cancel: ignores
  /// - threads: any
  bool try_push(T&& v)
    requires(std::move_constructible<T> && (!boxed || std::is_move_assignable_v<T>))
  {
    if constexpr (boxed) {
      sched::choice_point(sched::operation::send, this);
      if (full()) return false;
      auto made = std::make_unique<T>(std::move(v));
      if (place(made.get())) return made.release(), true;
      v = std::move(*made);
      return false;
    } else {
      return try_emplace(std::move(v));
    }
  }
  /// The same with a copy, which is made first where copying may throw.
  bool try_push(const T& v)
    requires std::copy_constructible<T>
  {
    return try_emplace(v);
  }
  /// Makes the element from `args`, in the queue where that cannot throw. False: full; `args` may have been used up all
  /// the
  /// same, by an element that was made and found no room.
  /// - blocks, cancel, threads: as try_push
  template <class... A>
    requires std::constructible_from<T, A...>
  bool try_emplace(A&&... args) {
    sched::choice_point(sched::operation::send, this);
    if constexpr (!boxed && std::is_nothrow_constructible_v<T, A...>) {
      return place(std::forward<A>(args)...);
    } else if (full()) {
      return false;
    } else if constexpr (boxed) {
      auto made = std::make_unique<T>(std::forward<A>(args)...);
      return place(made.get()) ? (made.release(), true) : false;
    } else {
      T made(std::forward<A>(args)...);
      return place(std::move(made));
    }
  }

  /// The oldest element; nullopt: empty.
  /// - blocks: never; at a cell that another thread is at work on, for that moment
  /// - cancel: ignores
  /// - threads: any
  std::optional<T> try_pop() {
    sched::choice_point(sched::operation::receive, this);
    std::uint64_t p;
    cell* const c = claim_head(p);
    if (!c) return std::nullopt;
    const detail::at_end give_back([&] { c->leave(p + lap_); });
    return std::optional<T>(std::in_place, std::move(c->value()));
  }
  /// Moves the oldest into `out`; false: empty, and `out` is left alone.
  /// - blocks, cancel, threads: as above
  bool try_pop(T& out)
    requires std::is_move_assignable_v<T>
  {
    sched::choice_point(sched::operation::receive, this);
    std::uint64_t p;
    cell* const c = claim_head(p);
    if (!c) return false;
    const detail::at_end give_back([&] { c->leave(p + lap_); });
    out = std::move(c->value());
    return true;
  }

  /// How many there are at one instant.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::size_t size() const noexcept {
    sched::choice_point(sched::operation::look, this);
    return count();
  }
  bool empty() const noexcept { return size() == 0; }
  std::size_t capacity() const noexcept { return capacity_; }

 protected:
  /// For tests: as if `laps` laps were over already; they are counted modulo 2^64.
  mpmc_queue(std::size_t capacity, std::uint64_t laps)
      : capacity_(detail::checked_capacity("runnel::lockfree::mpmc_queue", capacity, sizeof(cell))),
        lap_(std::bit_ceil(std::uint64_t{capacity} + 1)), cells_(std::make_unique_for_overwrite<cell[]>(capacity)),
        head_(std::in_place, laps * lap_), tail_(std::in_place, laps * lap_) {
    for (std::uint64_t i = 0; i < capacity; ++i)
      cells_[i].stamp.store(laps * lap_ + i, shim::order::relaxed);  // relaxed: before the queue is shared
  }

 private:
  using slot = std::conditional_t<boxed, T*, T>;
  struct cell {
    shim::atomic<std::uint64_t> stamp;
    detail::raw_room<slot> room;

    T& value() noexcept {
      if constexpr (boxed) {
        return *room.get();
      } else {
        return room.get();
      }
    }
    void end() noexcept {
      if constexpr (boxed) {
        delete room.get();
      } else {
        room.end();
      }
    }
    /// The owner of a pop has taken the element.
    void leave(std::uint64_t next) noexcept {
      end();
      sched::announced_release(this);
      stamp.store(next, shim::order::release);  // release: pairs with claim_tail(): the element is gone before the next comes
    }
  };

  std::uint64_t index_of(std::uint64_t p) const noexcept { return p & (lap_ - 1); }
  /// The position after p, whose index is i.
  std::uint64_t after(std::uint64_t p, std::uint64_t i) const noexcept { return i + 1 < capacity_ ? p + 1 : p - i + lap_; }

  /// As size().
  std::size_t count() const noexcept {
    for (;;) {
      const std::uint64_t t = tail_->load(shim::order::acquire);  // acquire: before the next one
      const std::uint64_t h = head_->load(shim::order::seq_cst);  // seq_cst: as in claim_tail()
      // seq_cst: as in claim_head(). It was t all the time, so also when head_ was h
      if (t != tail_->load(shim::order::seq_cst)) continue;
      const std::uint64_t from = index_of(h), to = index_of(t);
      if (from != to) return from < to ? to - from : capacity_ - from + to;
      return h == t ? 0 : capacity_;
    }
  }
  bool full() const noexcept { return count() == capacity_; }

  template <class... A>
  bool place(A&&... args) noexcept {
    std::uint64_t p;
    cell* const c = claim_tail(p);
    if (!c) return false;
    c->room.make(std::forward<A>(args)...);
    sched::announced_release(c);
    c->stamp.store(p + 1, shim::order::release);  // release: pairs with claim_head(), for the element
    return true;
  }

  /// The cell at the tail, for its new owner; null: full.
  cell* claim_tail(std::uint64_t& p) noexcept {
    for (detail::backoff others;;) {
      // acquire: pairs with the claims; who sees that a push came before sees the pops that it came after, and head_
      // with them
      p = tail_->load(shim::order::acquire);
      const std::uint64_t i = index_of(p);
      cell& c = cells_[i];
      const std::uint64_t stamp = c.stamp.load(shim::order::acquire);  // acquire: pairs with leave()
      if (stamp == p) {
        std::uint64_t expected = p;
        // seq_cst: this, then what the caller looks at next; see 3. relaxed: tail_ is loaded again
        if (tail_->compare_exchange(expected, after(p, i), shim::order::seq_cst, shim::order::relaxed)) {
          sched::announced_acquire(&c);
          return &c;
        }
        others.lost();
        continue;
      }
      if (head_->load(shim::order::seq_cst) + lap_ == p) return nullptr;  // seq_cst: after what the caller did before; see 3
      others.wait(c.stamp, stamp);
    }
  }
  /// The cell at the head; null: empty.
  cell* claim_head(std::uint64_t& p) noexcept {
    for (detail::backoff others;;) {
      // acquire: as in claim_tail(), the other way round
      p = head_->load(shim::order::acquire);
      const std::uint64_t i = index_of(p);
      cell& c = cells_[i];
      const std::uint64_t stamp = c.stamp.load(shim::order::acquire);  // acquire: pairs with place()
      if (stamp == p + 1) {
        std::uint64_t expected = p;
        // seq_cst: as in claim_tail(). relaxed: head_ is loaded again
        if (head_->compare_exchange(expected, after(p, i), shim::order::seq_cst, shim::order::relaxed)) {
          sched::announced_acquire(&c);
          return &c;
        }
        others.lost();
        continue;
      }
      if (tail_->load(shim::order::seq_cst) == p) return nullptr;  // seq_cst: as in claim_tail()
      others.wait(c.stamp, stamp);
    }
  }

  const std::size_t capacity_;
  const std::uint64_t lap_;
  const std::unique_ptr<cell[]> cells_;
  cache_padded<shim::atomic<std::uint64_t>> head_, tail_;
};

}  // namespace runnel::inline RUNNEL_ABI::lockfree
