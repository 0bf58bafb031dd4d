// The elements of a buffered channel: raw cells in segments, so that a large capacity costs memory only as it fills.
// A capacity of one segment is a ring, in memory that the channel brings along.
//
// Invariants: count_ cells from `head_` on hold elements; a segment is linked while it holds any, and one empty segment
// is kept. Callers hold the channel's lock.
#pragma once

#include "base/sizes.hpp"
#include "fiber/sanitizer.hpp"

#include <runnel/detail/channel_core.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

class element_queue {
 public:
  static constexpr std::size_t segment_cells = sizes::segment;

  /// Bytes of the ring of such a queue; 0: it makes its segments itself, or has no cells.
  static std::size_t ring_bytes(const element_ops& ops, std::size_t capacity) noexcept {
    return capacity <= segment_cells ? capacity * ops.size : 0;
  }

  /// `ring` has room for ring_bytes(), and is aligned for the elements.
  element_queue(const element_ops& ops, std::size_t capacity, std::byte* ring) noexcept
      : ops_(ops), size_(ops.size), ring_(capacity <= segment_cells), cells_(ring_ ? capacity : segment_cells) {
    // A ring is made with the channel, whose making happens before every use; a segment that is made later is announced
    // cell by cell, or TSan would see a race with the sender that happened to make it.
    if (!ring_ || !ring_bytes(ops, capacity)) return;
    head_ = tail_ = first_ = ring;
    end_ = ring + ring_bytes(ops, capacity);
    announce(ring);
  }
  ~element_queue() {
    clear();
    if (ring_) return;
    while (std::byte* s = first_) {
      first_ = next_of(s);
      free_segment(s);
    }
    if (spare_) free_segment(spare_);
  }
  element_queue& operator=(const element_queue&) = delete;

  /// Takes over the elements of another queue, which is not used for elements any more but keeps its ring's memory.
  explicit element_queue(element_queue& from) noexcept
      : ops_(from.ops_), size_(from.size_), ring_(from.ring_), cells_(from.cells_), head_(from.head_), tail_(from.tail_),
        end_(from.end_), first_(from.first_), last_(from.last_), taken_(from.taken_) {
    count(from.size());
    from.count(0);
    if (!ring_) from.head_ = from.tail_ = from.end_ = from.first_ = from.last_ = nullptr;
  }

  /// Also without the lock: a moment ago.
  std::size_t size() const noexcept {
    return count_.load(shim::order::acquire);  // acquire: what the caller looks at next is looked at later
  }

  /// What orders the uses of one place of the buffer for TSan: the cell, or a mark where there are no cells.
  const void* front_mark() noexcept { return size_ ? head_ : mark(taken_); }
  const void* back_mark(void* cell) noexcept { return size_ ? cell : mark(taken_ + size()); }

  void* front() noexcept { return head_; }

  /// Whether back() allocates nothing.
  bool has_cell() const noexcept { return ring_ || tail_ != end_; }
  /// The cell that the next element goes to; may allocate. Nothing changes until pushed().
  void* back() {
    if (!ring_ && size_ && tail_ == end_) append_segment();
    return tail_;
  }
  void pushed() noexcept {
    count(size() + 1);
    tail_ += size_;
    if (tail_ == end_ && ring_) tail_ = first_;
  }
  /// Removes the front, whose element has been destroyed.
  void popped() noexcept {
    count(size() - 1);
    ++taken_;
    head_ += size_;
    if (ring_) {
      if (head_ == end_) head_ = first_;
    } else if (size_ && head_ == end_of(first_)) {
      drop_segment();
    }
  }
  void clear() noexcept {
    while (size()) {
      sanitizer::hb_acquire(front_mark());
      ops_.destroy(front());
      popped();
    }
  }

 private:
  void count(std::size_t n) noexcept {
    count_.store(n, shim::order::relaxed);  // relaxed: published by the lock; without it a hint
  }

  // A segment: its cells, then the link to the next one.
  std::size_t link_at() const noexcept {
    return (cells_ * size_ + alignof(std::byte*) - 1) / alignof(std::byte*) * alignof(std::byte*);
  }
  std::byte*& next_of(std::byte* s) const noexcept { return *reinterpret_cast<std::byte**>(s + link_at()); }
  std::byte* end_of(std::byte* s) const noexcept { return s + cells_ * size_; }
  std::align_val_t alignment() const noexcept {
    return std::align_val_t{ops_.align > alignof(std::byte*) ? ops_.align : alignof(std::byte*)};
  }
  void free_segment(std::byte* s) const noexcept { ::operator delete(s, alignment()); }
  void announce(std::byte* s) const noexcept {
    for (std::size_t i = 0; sanitizer::sees_edges && i < cells_; ++i) sanitizer::hb_release(s + i * size_);
  }

  void append_segment() {
    std::byte* s = spare_;
    if (!s) {
      s = static_cast<std::byte*>(::operator new(link_at() + sizeof(std::byte*), alignment()));
      announce(s);
    }
    spare_ = nullptr;
    ::new (static_cast<void*>(s + link_at())) std::byte*(nullptr);
    if (last_) {
      next_of(last_) = s;
    } else {
      first_ = head_ = s;
    }
    last_ = tail_ = s;
    end_ = end_of(s);
  }
  void drop_segment() noexcept {
    std::byte* s = first_;
    first_ = head_ = next_of(s);
    if (!first_) last_ = tail_ = end_ = nullptr;
    // Others have read its cells; freeing or using it again comes after that.
    for (std::size_t i = 0; sanitizer::sees_edges && i < cells_; ++i) sanitizer::hb_acquire(s + i * size_);
    if (spare_) {
      free_segment(s);
    } else {
      spare_ = s;
    }
  }

  // Under TSan and in explorations, where the edges between single operations count.
  static constexpr std::size_t marks = sanitizer::sees_edges || exploring ? 64 : 1;
  const void* mark(std::size_t i) const noexcept { return &marks_[i % (cells_ < marks ? cells_ : marks)]; }

  const element_ops& ops_;
  const std::size_t size_;  ///< of an element; 0: there are no cells
  const bool ring_;
  const std::size_t cells_;  ///< of the ring, or of a segment
  shim::atomic<std::size_t> count_{0};
  std::byte* head_ = nullptr;   ///< the oldest element, in first_
  std::byte* tail_ = nullptr;   ///< behind the newest
  std::byte* end_ = nullptr;    ///< of the ring, or of last_
  std::byte* first_ = nullptr;
  std::byte* last_ = nullptr;   ///< not used by a ring
  std::byte* spare_ = nullptr;
  std::size_t taken_ = 0;
  char marks_[marks];
};

}  // namespace runnel::inline RUNNEL_ABI::detail
