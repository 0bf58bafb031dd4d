// A mutex for fibers and threads alike: std's Lockable and TimedLockable, for std::unique_lock, std::scoped_lock, std::lock.
//
// Use when: a structure is shared and changed in place, for moments. Never hold it across something that may wait long.
// Guarantees: mutual exclusion; unlock() happens before the next lock() returns. Barging, for throughput, but fair in the
// end: a waiter that has waited for 1 ms gets the lock handed over. Not recursive. May be unlocked by another fiber or
// thread than locked it, as Go's.
// Blocking and cancellation: lock() and the timed forms do not observe cancellation, so that guards stay noexcept in
// practice; lock(ctx) does.
// Errors: unlocking an unlocked mutex and destroying one with waiters end the process with a message; waiting for one in a
// forked child throws misuse.
// Cost: one compare-exchange to lock, one to unlock while nobody waits.
// Source: Go's sync.Mutex (normal and starvation mode); WebKit, "Locking in WebKit" (2016).
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/context.hpp>

namespace runnel::inline RUNNEL_ABI {

class mutex {
 public:
  mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;
  ~mutex();

  /// - blocks: until the lock is free
  /// - cancel: ignores
  /// - threads: any
  RUNNEL_PARKS void lock();
  /// The same, observing ctx and the ambient context.
  /// - blocks: until the lock is free
  /// - cancel: throws canceled without the lock
  /// - threads: any
  RUNNEL_PARKS void lock(const context& ctx);
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool try_lock() noexcept;
  /// False when the limit came first.
  /// - blocks: at most for the limit
  /// - cancel: ignores
  /// - threads: any
  RUNNEL_PARKS bool try_lock_for(duration limit) { return try_lock_until(limit.from_now()); }
  RUNNEL_PARKS bool try_lock_until(time_point deadline);
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void unlock() noexcept;

 private:
  enum class result : std::uint8_t { locked, timed_out, was_canceled };
  bool take() noexcept;
  result lock_slow(time_point deadline, bool cancelable, detail::context_node* extra);
  void unlock_slow() noexcept;

  // Bit 0: locked. Bit 1: somebody waits; set and cleared under guard_.
  shim::atomic<std::uint32_t> word_{0};
  detail::raw_lock guard_;
  sched::wait_queue waiters_;  // under guard_
};

}  // namespace runnel::inline RUNNEL_ABI
