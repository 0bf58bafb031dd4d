// The elements of a buffered channel: raw cells in segments, so that a large capacity costs memory only as it fills.
// A capacity of one segment is a ring in place.
//
// Invariants: cells [head, head + count) hold elements; a segment is linked while it holds any, and one empty segment
// is kept. Callers hold the channel's lock.
#pragma once

#include "base/sizes.hpp"
#include "fiber/sanitizer.hpp"

#include <runnel/detail/channel_core.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

class element_queue {
 public:
  static constexpr std::size_t segment_cells = sizes::segment;

  element_queue(const element_ops& ops, std::size_t capacity)
      : ops_(ops), ring_(capacity <= segment_cells), cells_(ring_ ? capacity : segment_cells) {
    // The ring is made with the channel, whose making happens before every use; a segment that is made later is
    // announced cell by cell, or TSan would see a race with the sender that happened to make it.
    if (ring_ && capacity && ops_.size) first_ = last_ = announced(new_segment());
  }
  ~element_queue() {
    clear();
    while (segment* s = first_) {
      first_ = s->next;
      free_segment(s);
    }
    if (spare_) free_segment(spare_);
  }
  element_queue& operator=(const element_queue&) = delete;

  /// Also without the lock: a moment ago.
  std::size_t size() const noexcept {
    return count_.load(shim::order::acquire);  // acquire: what the caller looks at next is looked at later
  }

  /// Takes over the elements of another queue, which is not used for elements any more.
  explicit element_queue(element_queue& from) noexcept : ops_(from.ops_), ring_(from.ring_), cells_(from.cells_) {
    count(from.size());
    from.count(0);
    head_ = std::exchange(from.head_, 0);
    tail_ = std::exchange(from.tail_, 0);
    first_ = std::exchange(from.first_, nullptr);
    last_ = std::exchange(from.last_, nullptr);
  }

  /// What orders the uses of one place of the buffer for TSan: the cell, or a mark where there are no cells.
  const void* front_mark() noexcept { return ops_.size ? front() : &marks_[head_ % marks()]; }
  const void* back_mark(void* cell) noexcept { return ops_.size ? cell : &marks_[tail_ % marks()]; }

  void* front() noexcept { return ops_.size ? cell(first_, head_) : nullptr; }

  /// The cell that the next element goes to; may allocate. Nothing changes until pushed().
  void* back() {
    if (!ops_.size) return nullptr;
    if (ring_) return cell(first_, (head_ + size()) % cells_);
    if (!last_ || tail_ == cells_) {
      segment* s = spare_ ? std::exchange(spare_, nullptr) : announced(new_segment());
      s->next = nullptr;
      if (last_) {
        last_->next = s;
      } else {
        first_ = s;
        head_ = 0;
      }
      last_ = s;
      tail_ = 0;
    }
    return cell(last_, tail_);
  }
  void pushed() noexcept {
    count(size() + 1);
    ++tail_;
  }
  /// Removes the front, whose element has been destroyed.
  void popped() noexcept {
    count(size() - 1);
    ++head_;
    if (!ops_.size) return;
    if (ring_) {
      if (head_ == cells_) head_ = 0;
      return;
    }
    if (head_ != cells_) return;
    segment* s = first_;
    first_ = s->next;
    head_ = 0;
    if (!first_) last_ = nullptr;
    // Others have read its cells; freeing or using it again comes after that.
    for (std::size_t i = 0; sanitizer::sees_edges && i < cells_; ++i) sanitizer::hb_acquire(cell(s, i));
    if (spare_) {
      free_segment(s);
    } else {
      spare_ = s;
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
  struct segment {
    segment* next;
  };
  std::size_t header() const noexcept { return (sizeof(segment) + ops_.align - 1) / ops_.align * ops_.align; }
  std::align_val_t alignment() const noexcept {
    return std::align_val_t{ops_.align > alignof(segment) ? ops_.align : alignof(segment)};
  }
  segment* new_segment() const {
    auto* s = static_cast<segment*>(::operator new(header() + cells_ * ops_.size, alignment()));
    s->next = nullptr;
    return s;
  }
  segment* announced(segment* s) const noexcept {
    for (std::size_t i = 0; sanitizer::sees_edges && i < cells_; ++i) sanitizer::hb_release(cell(s, i));
    return s;
  }
  void free_segment(segment* s) const noexcept { ::operator delete(s, alignment()); }
  void* cell(segment* s, std::size_t i) const noexcept { return reinterpret_cast<std::byte*>(s) + header() + i * ops_.size; }

  std::size_t marks() const noexcept { return cells_ < sizeof marks_ ? cells_ : sizeof marks_; }

  const element_ops& ops_;
  const bool ring_;
  const std::size_t cells_;
  shim::atomic<std::size_t> count_{0};
  std::size_t head_ = 0;  ///< in first_
  std::size_t tail_ = 0;  ///< in last_; not used by a ring
  segment* first_ = nullptr;
  segment* last_ = nullptr;
  segment* spare_ = nullptr;
  char marks_[64];
};

}  // namespace runnel::inline RUNNEL_ABI::detail
