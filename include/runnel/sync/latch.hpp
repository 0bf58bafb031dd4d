// A counter that goes down, once: wait() returns when it is zero, and from then on at once. As std::latch.
//
// Use when: a fixed number of things must have happened before somebody goes on. For a number that changes: wait_group; for
// several rounds: barrier.
// Guarantees: what happened before a count_down() happens before every wait() that returns. May be destroyed right after a
// wait().
// Errors: counting down below zero, or from a negative number, throws misuse and changes nothing; destroying one with waiters
// ends the process with a message that names them; outside of fibers it is only told.
// Cost: 48 bytes; each operation is one short lock.
// Source: std::latch.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/context.hpp>

#include <cstddef>
#include <cstdint>

namespace runnel::inline RUNNEL_ABI {

class latch {
 public:
  /// The highest that the counter can be.
  static constexpr std::ptrdiff_t max() noexcept { return PTRDIFF_MAX; }
  explicit latch(std::ptrdiff_t expected);
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;
  ~latch();

  /// Takes n off the counter.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void count_down(std::ptrdiff_t n = 1);
  /// Whether the counter is zero.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool try_wait() const noexcept;
  /// - blocks: until the counter is zero
  /// - cancel: throws canceled
  /// - threads: any
  RUNNEL_PARKS void wait() const { static_cast<void>(wait_until(never)); }
  /// The same, observing ctx too.
  RUNNEL_PARKS void wait(const context& ctx) const { static_cast<void>(wait_until(never, &detail::node_of(ctx))); }
  /// False when the limit came first.
  RUNNEL_PARKS bool wait_for(duration limit) const { return wait_until(limit.from_now()); }
  RUNNEL_PARKS bool wait_until(time_point deadline) const { return wait_until(deadline, nullptr); }
  /// count_down(n), then wait(). Canceled on entry it has counted nothing; canceled later it has.
  /// - blocks: until the counter is zero
  /// - cancel: throws canceled
  /// - threads: any
  RUNNEL_PARKS void arrive_and_wait(std::ptrdiff_t n = 1) { arrive_and_wait(n, nullptr); }
  /// The same, observing ctx too.
  RUNNEL_PARKS void arrive_and_wait(const context& ctx, std::ptrdiff_t n = 1) {
    arrive_and_wait(n, &detail::node_of(ctx));
  }

 private:
  void arrive_and_wait(std::ptrdiff_t n, detail::context_node* extra);
  bool count(std::ptrdiff_t n, sched::wake_list& woken) noexcept;
  bool wait_until(time_point deadline, detail::context_node* extra) const;

  mutable sched::wait_object object_;
  std::ptrdiff_t count_;               ///< under object_.lock
  mutable sched::wait_queue waiters_;  ///< under object_.lock; empty at zero
};

}  // namespace runnel::inline RUNNEL_ABI
