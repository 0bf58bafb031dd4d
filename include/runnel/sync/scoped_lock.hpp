// A lock for a scope, which Clang's thread-safety analysis can follow: to it, what std::scoped_lock
// and std::shared_lock of libstdc++ do is invisible.
//
//   const scoped_lock hold(mutex_);              // variables that are RUNNEL_GUARDED_BY(mutex_)
//   may be used from here on const scoped_shared_lock hold(shared_, ctx); // read; gives up when
//   ctx is canceled
//
// Use when: the program is compiled with -Wthread-safety, or a cancelled caller shall not get the
// lock. When not: std's guards work with all locks of runnel; several locks at once are lock_all's;
// a value with its lock in one is a guarded. Blocking and cancellation: as lock() of the lock,
// which ignores cancellation, and lock(ctx), which observes it. Cost: that of lock() and unlock().
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/context.hpp>

namespace runnel::inline RUNNEL_ABI {

template <class Lock>
class RUNNEL_SCOPED_CAPABILITY scoped_lock {
 public:
  /// - blocks: until the lock is free
  /// - cancel: ignores
  /// - threads: any
  [[nodiscard]] RUNNEL_PARKS explicit scoped_lock(Lock& l) RUNNEL_ACQUIRE(l) : lock_(l) { l.lock(); }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until the lock is free
  /// - cancel: throws canceled without the lock
  /// - threads: any
  [[nodiscard]] RUNNEL_PARKS scoped_lock(const context& ctx, Lock& l) RUNNEL_ACQUIRE(l) : lock_(l) { l.lock(ctx); }
  scoped_lock(const scoped_lock&) = delete;
  scoped_lock& operator=(const scoped_lock&) = delete;
  ~scoped_lock() RUNNEL_RELEASE() { lock_.unlock(); }

 private:
  Lock& lock_;
};

/// Of a lock with lock_shared(), for reading.
template <class Lock>
class RUNNEL_SCOPED_CAPABILITY scoped_shared_lock {
 public:
  /// - blocks: until there is no writer
  /// - cancel: ignores
  /// - threads: any
  [[nodiscard]] RUNNEL_PARKS explicit scoped_shared_lock(Lock& l) RUNNEL_ACQUIRE_SHARED(l) : lock_(l) { l.lock_shared(); }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until there is no writer
  /// - cancel: throws canceled without the lock
  /// - threads: any
  [[nodiscard]] RUNNEL_PARKS scoped_shared_lock(const context& ctx, Lock& l) RUNNEL_ACQUIRE_SHARED(l) : lock_(l) {
    l.lock_shared(ctx);
  }
  scoped_shared_lock(const scoped_shared_lock&) = delete;
  scoped_shared_lock& operator=(const scoped_shared_lock&) = delete;
  ~scoped_shared_lock() RUNNEL_RELEASE() { lock_.unlock_shared(); }

 private:
  Lock& lock_;
};

}  // namespace runnel::inline RUNNEL_ABI
