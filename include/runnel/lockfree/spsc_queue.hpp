// A bounded queue from one producer to one consumer. Nobody waits in it.
//
// Use when: one thread or fiber feeds another at a high rate, and both have something else to do meanwhile: audio and
// network loops, a stage that polls. When not: one of them should wait for the other: make_channel<T, spsc>, which
// costs as little while there is something to do. More of either side: mpmc_queue.
// Guarantees: FIFO. What happened before a push happens before the pop that takes the element; a pop happens before the
// push that takes its place. "Full" and "empty" are exact as far as the caller has been ordered after the other side.
// Not ordered: a push and what its thread reads afterwards. Who pushes, then looks whether the consumer sleeps, needs a
// fence in between, or a channel.
// Progress: wait-free, all operations.
// Thread-safety: pushes by one at a time, pops by one at a time; the two sides at the same time. A side may go to
// another thread that is ordered after it. size() and empty() from both sides. Checked builds end the process when two
// are on one side.
// Errors: capacity 0 throws misuse, one beyond all memory std::length_error. A construction that throws changes
// nothing. When the move out of the queue throws, the caller gets the exception and that element is gone.
// Cost: no read-modify-write, no fence; the other side's line is read once for as many elements as it had moved. One
// cell more than the capacity.
// Source: L. Lamport, "Specifying Concurrent Program Modules" (1983), https://doi.org/10.1145/69624.357207; the copy of
// the other side's index: P. Lee et al., "A Lock-Free, Cache-Efficient Shared Ring Buffer" (2009),
// https://doi.org/10.1145/1882486.1882508.
//
// Invariants. Cells from head to tail, modulo the number of cells, hold elements; one is always free. A push linearizes
// where it stores the tail, a pop where it stores the head. Each side stores its own index and reads its own with no
// order.
// Rejected: counters that never wrap, over a ring of a power of two: up to twice the memory, or a division.
#pragma once

#include <runnel/base/atomic.hpp>
#include <runnel/base/single_user.hpp>
#include <runnel/detail/queue_cell.hpp>
#include <runnel/lockfree/cache_padded.hpp>
#include <runnel/sched/operation.hpp>

#include <optional>
#include <span>

namespace runnel::inline RUNNEL_ABI::lockfree {

template <class T>
class spsc_queue {
  static_assert(detail::queue_element<T>, "runnel: an element of a queue must be an object with a noexcept destructor");

 public:
  using value_type = T;

  /// `capacity`: 1 or more elements, which it holds exactly. Allocates all cells.
  explicit spsc_queue(std::size_t capacity) : spsc_queue(capacity, 0) {}
  spsc_queue(const spsc_queue&) = delete;
  spsc_queue& operator=(const spsc_queue&) = delete;
  /// Destroys what is left.
  ~spsc_queue() {
    std::size_t i = own(consumer_);
    for (; i != own(producer_); i = after(i)) cells_[i].end();
  }

  /// Moves v in, or returns false and leaves it: full.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: the producer
  bool try_push(T&& v)
    requires std::move_constructible<T>
  {
    return try_emplace(std::move(v));
  }
  bool try_push(const T& v)
    requires std::copy_constructible<T>
  {
    return try_emplace(v);
  }
  /// Makes the element in the queue from `args`; false: full, and they are left alone.
  /// - blocks, cancel, threads: as above
  template <class... A>
    requires std::constructible_from<T, A...>
  bool try_emplace(A&&... args) {
    sched::choice_point(sched::operation::send, this);
    const detail::single_user::scope alone(producer_->user, two_producers);
    const std::size_t i = own(producer_);
    const std::size_t next = after(i);
    if (next == producer_->others && next == look(producer_, consumer_)) return false;
    sched::announced_acquire(&cells_[i]);
    cells_[i].make(std::forward<A>(args)...);
    sched::announced_release(&cells_[i]);
    publish(producer_, next);
    return true;
  }
  /// Moves in as many of the first ones as there is room for, and says how many. When a move throws, those before it
  /// are in.
  /// - blocks, cancel, threads: as above
  std::size_t try_push_n(std::span<T> values)
    requires std::move_constructible<T>
  {
    sched::choice_point(sched::operation::send, this);
    const detail::single_user::scope alone(producer_->user, two_producers);
    std::size_t i = own(producer_), n = 0;
    const detail::at_end done([&] { publish(producer_, i); });
    for (T& v : values) {
      const std::size_t next = after(i);
      if (next == producer_->others && next == look(producer_, consumer_)) break;
      sched::announced_acquire(&cells_[i]);
      cells_[i].make(std::move(v));
      sched::announced_release(&cells_[i]);
      i = next, ++n;
    }
    return n;
  }

  /// The oldest element; nullopt: empty.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: the consumer
  std::optional<T> try_pop() {
    sched::choice_point(sched::operation::receive, this);
    const detail::single_user::scope alone(consumer_->user, two_consumers);
    const std::size_t i = own(consumer_);
    if (i == consumer_->others && i == look(consumer_, producer_)) return std::nullopt;
    const detail::at_end done([&] { publish(consumer_, leave(i)); });
    return std::optional<T>(std::in_place, std::move(enter(i)));
  }
  /// Moves the oldest into `out`; false: empty, and `out` is left alone.
  /// - blocks, cancel, threads: as above
  bool try_pop(T& out)
    requires std::is_move_assignable_v<T>
  {
    sched::choice_point(sched::operation::receive, this);
    const detail::single_user::scope alone(consumer_->user, two_consumers);
    const std::size_t i = own(consumer_);
    if (i == consumer_->others && i == look(consumer_, producer_)) return false;
    const detail::at_end done([&] { publish(consumer_, leave(i)); });
    out = std::move(enter(i));
    return true;
  }
  /// Moves the oldest ones into `out`, as many as there are and fit, and says how many. When a move throws, that
  /// element and
  /// those before it are gone.
  /// - blocks, cancel, threads: as above
  std::size_t try_pop_n(std::span<T> out)
    requires std::is_move_assignable_v<T>
  {
    sched::choice_point(sched::operation::receive, this);
    const detail::single_user::scope alone(consumer_->user, two_consumers);
    std::size_t i = own(consumer_), n = 0;
    const detail::at_end done([&] { publish(consumer_, i); });
    for (T& o : out) {
      if (i == consumer_->others && i == look(consumer_, producer_)) break;
      const detail::at_end taken([&] { i = leave(i); });
      o = std::move(enter(i));
      ++n;
    }
    return n;
  }

  /// How many there are: to the producer at least as many, to the consumer at most; exact when the other side rests. To anybody
  /// else a number within the capacity.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::size_t size() const noexcept {
    sched::choice_point(sched::operation::look, this);
    // acquire: pairs with publish(); the tail is not behind it then
    const std::size_t h = consumer_->index.load(shim::order::acquire);
    const std::size_t t = producer_->index.load(shim::order::relaxed);  // relaxed: only counted
    return t >= h ? t - h : t + cell_count_ - h;
  }
  bool empty() const noexcept { return size() == 0; }
  std::size_t capacity() const noexcept { return cell_count_ - 1; }

 protected:
  /// For tests: begins at the cell `first`.
  spsc_queue(std::size_t capacity, std::size_t first)
      : cell_count_(detail::checked_capacity("runnel::lockfree::spsc_queue", capacity, sizeof(cell)) + 1),
        cells_(std::make_unique_for_overwrite<cell[]>(cell_count_)), producer_(std::in_place, first),
        consumer_(std::in_place, first) {}

 private:
  static constexpr const char* two_producers =
      "runnel::lockfree::spsc_queue: two pushes at the same time: it has one producer; use an mpmc_queue";
  static constexpr const char* two_consumers =
      "runnel::lockfree::spsc_queue: two pops at the same time: it has one consumer; use an mpmc_queue";
  using cell = detail::raw_room<T>;
  /// Of the producer (the tail) or of the consumer (the head).
  struct side {
    explicit side(std::size_t first) noexcept : index(first), others(first) {}
    shim::atomic<std::size_t> index;  ///< the cell of its next element; stored by itself
    std::size_t others;               ///< the other's, as it was last seen; its own
    [[no_unique_address]] detail::single_user user;
  };

  std::size_t after(std::size_t i) const noexcept { return i + 1 == cell_count_ ? 0 : i + 1; }
  static std::size_t own(const cache_padded<side>& s) noexcept {
    return s->index.load(shim::order::relaxed);  // relaxed: stored by the same side, or ordered before the end
  }
  static std::size_t look(cache_padded<side>& s, const cache_padded<side>& other) noexcept {
    return s->others = other->index.load(shim::order::acquire);  // acquire: pairs with publish(), for the cells
  }
  static void publish(cache_padded<side>& s, std::size_t next) noexcept {
    s->index.store(next, shim::order::release);  // release: pairs with look(): the cells before it are made, or empty
  }
  T& enter(std::size_t i) noexcept {
    sched::announced_acquire(&cells_[i]);
    return cells_[i].get();
  }
  std::size_t leave(std::size_t i) noexcept {
    cells_[i].end();
    sched::announced_release(&cells_[i]);
    return after(i);
  }

  const std::size_t cell_count_;
  const std::unique_ptr<cell[]> cells_;
  cache_padded<side> producer_, consumer_;
};

}  // namespace runnel::inline RUNNEL_ABI::lockfree
