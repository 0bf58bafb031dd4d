// A counter that many change and few read: each worker counts in a part of its own, reading adds the parts up.
//
// Use when: a statistic is counted on every request. When not: the value decides something (a ticket, a limit): one atomic;
// it is read as often as changed.
// Guarantees: no addition is lost. sum() counts what happened before it; of what happens at the same time, some or none.
// Orders nothing else.
// Thread-safety: all operations from anywhere.
// Cost: 128 bytes a processor. add() is one addition to a word that hardly anybody else writes; sum() reads them all.
// Source: D. Lea, LongAdder.
#pragma once

#include <runnel/base/atomic.hpp>
#include <runnel/lockfree/cache_padded.hpp>
#include <runnel/sched/operation.hpp>
#include <runnel/sched/stripe.hpp>

#include <cstdint>
#include <memory>

namespace runnel::inline RUNNEL_ABI {

class striped_counter {
 public:
  striped_counter() : parts_(std::make_unique<part[]>(mask_ + 1)) {}
  striped_counter(const striped_counter&) = delete;
  striped_counter& operator=(const striped_counter&) = delete;

  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void add(std::int64_t n = 1) noexcept {
    sched::choice_point(sched::operation::add, this);
    // relaxed: a statistic, which orders nothing
    parts_[sched::stripe_of_caller() & mask_]->fetch_add(n, shim::order::relaxed);
  }
  /// What was added, wrapped to 64 bits.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::int64_t sum() const noexcept {
    sched::choice_point(sched::operation::look, this);
    std::uint64_t total = 0;
    // relaxed: as add(); whoever must see something has been ordered after it by something else
    for (unsigned i = 0; i <= mask_; ++i) total += static_cast<std::uint64_t>(parts_[i]->load(shim::order::relaxed));
    return static_cast<std::int64_t>(total);
  }

 private:
  using part = cache_padded<shim::atomic<std::int64_t>>;
  const unsigned mask_ = sched::stripe_count() - 1;
  std::unique_ptr<part[]> parts_;
};

}  // namespace runnel::inline RUNNEL_ABI
