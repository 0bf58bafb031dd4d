// A queue without a bound, from many producers to one consumer. Nobody waits in it.
//
// Use when: many hand things to one that comes by: log lines, statistics, work for a loop that polls. When not: the
// consumer should sleep until there is something, or producers should be held back when it is slow: a channel. Without
// a bound, memory grows for as long as the consumer is slower.
// Guarantees: FIFO. Linearizable, together with everything else that is: a pop finds nothing only if at one instant of
// the call there was nothing, and whoever pushes and then pops finds something. What happened before a push happens
// before the pop that takes the element.
// Progress: a pop waits for a push that has claimed the next place and not filled it yet, else it is wait-free. Pushes
// are lock-free but at the end of a segment, where all wait for the one that links the next, a few instructions. Who
// waits pauses, then gives way.
// Thread-safety: pushes from anywhere; pops by one at a time, another one when it is ordered after the last. Checked
// builds end the process when two pop at the same time. size() and empty() from anywhere.
// Errors: a push that cannot allocate throws std::bad_alloc. A construction that throws changes nothing. When the move
// out of the queue throws, the caller gets the exception and that element is gone.
// Cost: a push is one read-modify-write, a pop none; 8 bytes beside each element. Memory in segments of about a
// kilobyte, of which an emptied one is kept: a queue that stays short allocates nothing. A copy or construction that
// may throw is made first and then moved in, where that cannot throw.
// Source: the claim of a slot by the index alone: crossbeam's SegQueue; stamps in the slots: D. Vyukov's bounded queue,
// see mpmc_queue.hpp.
//
// Invariants. Positions are counted modulo 2^64; Lap of them, a power of two, belong to a segment, the last of which is
// no slot: while tail_ is there, the push that took the last slot links the next segment.
//  1. last_ is the segment of tail_ for whoever then succeeds in moving tail_ on: the next segment is stored before
//     tail_ enters it, and tail_ never comes back.
//  2. The slot of position p is claimed by moving tail_ on from p; here the push linearizes. It is filled when its
//     stamp is p + 1, dead when it is p + 2 (the construction has thrown), and else holds anything but these: a new
//     segment's stamps are the offsets of the slots, an old one's are smaller by a multiple of Lap. So a segment is
//     used again as it is.
//  3. A push touches the segment of its slot only, after the claim and last when it stores the stamp. The consumer
//     passes a slot after it has seen that. So behind the last slot no push can touch the segment any more, and it may
//     go.
//  4. The next segment is in hand before the last slot is claimed: without memory nothing has changed.
//
// Rejected: a node for each element and an exchange of the tail (D. Vyukov's other queue, liburcu's wfcqueue): an
// allocation for each push, and a push that was stopped hides all later ones. "Empty" when all pushes found are still
// in the middle: then two that push to each other and look could both find nothing, for a stamp is seen later than its
// push returned. docs/design/0056.
#pragma once

#include <runnel/base/backoff.hpp>
#include <runnel/base/single_user.hpp>
#include <runnel/detail/queue_cell.hpp>
#include <runnel/lockfree/cache_padded.hpp>
#include <runnel/sched/operation.hpp>

#include <bit>
#include <optional>

namespace runnel::inline RUNNEL_ABI::lockfree {

/// Positions of a segment: as many as fill about a kilobyte.
template <class T>
inline constexpr std::size_t segment_lap = std::bit_floor(std::size_t{1024} / (sizeof(T) + 8)) < 8
                                               ? 8
                                               : std::bit_floor(std::size_t{1024} / (sizeof(T) + 8));

template <class T, std::size_t Lap = segment_lap<T>>
class mpsc_queue {
  static_assert(detail::queue_element<T>, "runnel: an element of a queue must be an object with a noexcept destructor");
  static_assert(std::has_single_bit(Lap) && Lap >= 4, "runnel: a segment has a power of two of positions, at least 4");
  static constexpr bool first_aside = std::is_nothrow_move_constructible_v<T>;

 public:
  using value_type = T;

  /// Allocates the first segment.
  mpsc_queue() : mpsc_queue(std::uint64_t{0}) {}
  mpsc_queue(const mpsc_queue&) = delete;
  mpsc_queue& operator=(const mpsc_queue&) = delete;
  /// Destroys what is left.
  ~mpsc_queue() {
    while (cell* c = next_filled()) {
      c->room.end();
      advance();
    }
    delete consumer_->first;
    delete spare_.load(shim::order::relaxed);  // relaxed: the one who ends it is ordered after all operations
  }

  /// Moves v in. Without memory for it std::bad_alloc, and v is left alone.
  /// - blocks: never; at the end of a segment, for the moment in which another push links the next
  /// - cancel: ignores
  /// - threads: any
  void push(T&& v)
    requires std::move_constructible<T>
  {
    emplace(std::move(v));
  }
  /// The same with a copy.
  void push(const T& v)
    requires std::copy_constructible<T>
  {
    emplace(v);
  }
  /// Makes the element from `args`, in the queue unless that may throw and a move may not.
  /// - blocks, cancel, threads: as push
  template <class... A>
    requires std::constructible_from<T, A...>
  void emplace(A&&... args) {
    sched::choice_point(sched::operation::send, this);
    if constexpr (std::is_nothrow_constructible_v<T, A...> || !first_aside) {
      place(std::forward<A>(args)...);
    } else {
      T made(std::forward<A>(args)...);
      place(std::move(made));
    }
  }

  /// The oldest element; nullopt: empty.
  /// - blocks: never; where the oldest push is still in the middle, for that moment
  /// - cancel: ignores
  /// - threads: the consumer
  std::optional<T> try_pop() {
    sched::choice_point(sched::operation::receive, this);
    const detail::single_user::scope alone(consumer_->user, two_consumers);
    cell* const c = next_filled();
    if (!c) return std::nullopt;
    sched::announced_acquire(c);
    const detail::at_end taken([&] { leave(*c); });
    return std::optional<T>(std::in_place, std::move(c->room.get()));
  }
  /// Moves the oldest into `out`; false: empty, and `out` is left alone.
  /// - blocks, cancel, threads: as above
  bool try_pop(T& out)
    requires std::is_move_assignable_v<T>
  {
    sched::choice_point(sched::operation::receive, this);
    const detail::single_user::scope alone(consumer_->user, two_consumers);
    cell* const c = next_filled();
    if (!c) return false;
    sched::announced_acquire(c);
    const detail::at_end taken([&] { leave(*c); });
    out = std::move(c->room.get());
    return true;
  }

  /// How many there were a moment ago, with those that are being pushed.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::size_t size() const noexcept {
    sched::choice_point(sched::operation::look, this);
    for (;;) {
      const std::uint64_t t = tail_->index.load(shim::order::acquire);     // acquire: before the next one
      const std::uint64_t h = consumer_->head.load(shim::order::acquire);  // acquire: pairs with advance(); not ahead of tail_
      if (t != tail_->index.load(shim::order::seq_cst)) continue;          // seq_cst: as in next_filled()
      const std::uint64_t ahead = t - (h - h % Lap);
      const std::uint64_t claimed = ahead / Lap * (Lap - 1) + ahead % Lap - h % Lap;
      const std::uint64_t dead = dead_.load(shim::order::relaxed);  // relaxed: exact when pushes rest
      return claimed > dead ? claimed - dead : 0;
    }
  }
  bool empty() const noexcept { return size() == 0; }

 protected:
  /// For tests: as if `laps` segments had been used already; they are counted modulo 2^64.
  explicit mpsc_queue(std::uint64_t laps)
      : consumer_(std::in_place, new segment, laps * Lap), tail_(std::in_place, consumer_->first, laps * Lap) {}

 private:
  static constexpr const char* two_consumers =
      "runnel::lockfree::mpsc_queue: two pops at the same time: it has one consumer; use an mpmc_queue or a channel";
  struct cell {
    shim::atomic<std::uint64_t> stamp;
    detail::raw_room<T> room;
  };
  struct segment {
    segment() noexcept {
      for (std::uint64_t i = 0; i + 1 < Lap; ++i)
        cells[i].stamp.store(i, shim::order::relaxed);  // relaxed: published with the segment
    }
    segment* next = nullptr;  ///< stored before tail_ leaves the segment
    cell cells[Lap - 1];
  };
  struct consumer {
    consumer(segment* s, std::uint64_t h) noexcept : head(h), first(s) {}
    shim::atomic<std::uint64_t> head;  ///< stored by the consumer
    segment* first;                    ///< of head; the consumer's
    [[no_unique_address]] detail::single_user user;
  };
  struct producers {
    producers(segment* s, std::uint64_t t) noexcept : index(t), last(s) {}
    shim::atomic<std::uint64_t> index;
    shim::atomic<segment*> last;
  };

  // ---- producers

  template <class... A>
  void place(A&&... args) {
    std::uint64_t p;
    cell& c = claim(p);
    bool made = false;
    const detail::at_end publish([&] { made ? fill(c, p) : give_up(c, p); });
    c.room.make(std::forward<A>(args)...);
    made = true;
  }
  static void fill(cell& c, std::uint64_t p) noexcept {
    sched::announced_release(&c);
    c.stamp.store(p + 1, shim::order::release);  // release: pairs with next_filled(), for the element and the segment
  }
  void give_up(cell& c, std::uint64_t p) noexcept {
    dead_.fetch_add(1, shim::order::relaxed);    // relaxed: see size()
    c.stamp.store(p + 2, shim::order::release);  // release: as in fill(), for the segment
  }

  cell& claim(std::uint64_t& p) {
    for (detail::backoff race;; race.lost()) {
      p = tail_->index.load(shim::order::acquire);            // acquire: pairs with link(), for the segment
      if (p % Lap >= Lap - 2) return claim_last(p);
      // acquire: pairs with link(): when it is newer than p, so is the index, and the claim fails
      segment* const s = tail_->last.load(shim::order::acquire);
      std::uint64_t expected = p;
      // seq_cst: this, then what the caller looks at next; as in mpmc_queue. relaxed: loaded again
      if (tail_->index.compare_exchange(expected, p + 1, shim::order::seq_cst, shim::order::relaxed)) return s->cells[p % Lap];
    }
  }
  /// The same near the end of a segment.
  [[gnu::noinline]] cell& claim_last(std::uint64_t& p) {
    std::unique_ptr<segment> next;
    const detail::at_end keep([&] {
      if (next) recycle(next.release());
    });
    for (detail::backoff peer;;) {
      p = tail_->index.load(shim::order::acquire);  // acquire: as in claim()
      if (p % Lap == Lap - 1) {
        peer.wait(tail_->index, p);
        continue;
      }
      const bool is_last = p % Lap == Lap - 2;
      if (is_last && !next) next.reset(new_segment());
      segment* const s = tail_->last.load(shim::order::acquire);  // acquire: as in claim()
      std::uint64_t expected = p;
      // seq_cst, relaxed: as in claim()
      if (!tail_->index.compare_exchange(expected, p + 1, shim::order::seq_cst, shim::order::relaxed)) continue;
      if (is_last) link(*s, next.release(), p + 2);
      return s->cells[p % Lap];
    }
  }
  void link(segment& s, segment* next, std::uint64_t first) noexcept {
    s.next = next;
    tail_->last.store(next, shim::order::release);    // release: pairs with claim(): who finds it finds the index moved on
    tail_->index.store(first, shim::order::release);  // release: pairs with claim(): the segment, and that it is last_
  }
  segment* new_segment() {
    segment* s = spare_.exchange(nullptr, shim::order::acquire);  // acquire: pairs with recycle(): nobody reads it any more
    return s ? s : new segment;
  }
  /// Keeps s instead of the one that is kept, which has been out of use for longer.
  void recycle(segment* s) noexcept {
    delete spare_.exchange(s, shim::order::acq_rel);  // acq_rel: pairs with new_segment(), and with itself for the other one
  }

  // ---- the consumer

  /// The cell at the head once it is filled; null: empty.
  cell* next_filled() noexcept {
    for (detail::backoff peer;;) {
      const std::uint64_t h = head();
      cell& c = consumer_->first->cells[h % Lap];
      const std::uint64_t stamp = c.stamp.load(shim::order::acquire);  // acquire: pairs with place()
      if (stamp == h + 1) return &c;
      if (stamp == h + 2) {
        dead_.fetch_sub(1, shim::order::relaxed);  // relaxed: see size()
        advance();
      } else if (tail_->index.load(shim::order::seq_cst) == h) {  // seq_cst: after what the caller did before; as in mpmc_queue
        return nullptr;
      } else {
        peer.wait(c.stamp, stamp);
      }
    }
  }
  void leave(cell& c) noexcept {
    c.room.end();
    advance();
  }
  void advance() noexcept {
    std::uint64_t h = head() + 1;
    if (h % Lap == Lap - 1) {
      segment* const old = std::exchange(consumer_->first, consumer_->first->next);
      recycle(old);
      ++h;
    }
    consumer_->head.store(h, shim::order::release);  // release: pairs with size(): whoever sees it sees the pushes before it
  }
  std::uint64_t head() const noexcept {
    return consumer_->head.load(shim::order::relaxed);  // relaxed: stored by the same side
  }

  cache_padded<consumer> consumer_;
  cache_padded<producers> tail_;
  shim::atomic<segment*> spare_{nullptr};
  shim::atomic<std::uint64_t> dead_{0};  ///< stamped or to be stamped dead, and not passed by yet
};

}  // namespace runnel::inline RUNNEL_ABI::lockfree
