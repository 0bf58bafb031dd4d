// A mutex for fibers and threads alike: std's Lockable and TimedLockable, for std::unique_lock, std::scoped_lock, std::lock.
//
// Use when: a structure is shared and changed in place, for moments. Never hold it across something that may wait long.
// Guarantees: mutual exclusion; unlock() happens before the next lock() returns. Barging, for throughput, but fair in the
// end: a waiter that has waited for 1 ms gets the lock handed over. Not recursive. May be unlocked by another fiber or
// thread than locked it, as Go's. May be destroyed by whoever locked it last, as soon as it has unlocked it.
// Blocking and cancellation: lock() and the timed forms do not observe cancellation, so that guards stay noexcept in
// practice; lock(ctx) does.
// Errors: unlocking an unlocked mutex and destroying one with waiters end the process with a message, which names the
// waiters; waiting for one in a forked child throws misuse.
// Cost: 8 bytes. One compare-exchange to lock, one to unlock while nobody waits.
// Source: Go's sync.Mutex (normal and starvation mode); WebKit, "Locking in WebKit" (2016), whose WordLock keeps its queue in
// the one word too.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/context.hpp>

namespace runnel::inline RUNNEL_ABI {

class RUNNEL_CAPABILITY("mutex") mutex {
 public:
  mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;
  ~mutex();

  /// - blocks: until the lock is free
  /// - cancel: ignores
  /// - threads: any
  RUNNEL_PARKS void lock() RUNNEL_ACQUIRE();
  /// The same, observing ctx and the ambient context.
  /// - blocks: until the lock is free
  /// - cancel: throws canceled without the lock
  /// - threads: any
  RUNNEL_PARKS void lock(const context& ctx) RUNNEL_ACQUIRE();
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool try_lock() noexcept RUNNEL_TRY_ACQUIRE(true);
  /// False when the limit came first.
  /// - blocks: at most for the limit
  /// - cancel: ignores
  /// - threads: any
  RUNNEL_PARKS bool try_lock_for(duration limit) RUNNEL_TRY_ACQUIRE(true) { return try_lock_until(limit.from_now()); }
  RUNNEL_PARKS bool try_lock_until(time_point deadline) RUNNEL_TRY_ACQUIRE(true);
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void unlock() noexcept RUNNEL_RELEASE();

 private:
  enum class result : std::uint8_t { locked, timed_out, was_canceled };
  bool take() noexcept;
  bool take_or_guard(std::uint64_t& seen) noexcept;
  std::uint64_t guard() noexcept;
  result lock_slow(time_point deadline, bool cancelable, detail::context_node* extra);
  void leave(sched::wait_node& n) noexcept;
  void unlock_slow() noexcept;

  shim::atomic<std::uint64_t> word_{0};  ///< see mutex.cpp
};

}  // namespace runnel::inline RUNNEL_ABI
