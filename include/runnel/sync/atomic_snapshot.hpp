// A value that is replaced as a whole: readers get the one that is current, complete and unchanging, for as long as they
// keep it; writers publish another.
//
// Use when: a configuration, a routing table, several figures that belong together are read often and replaced rarely.
// When not: small parts of it change all the time (guarded, concurrent_map).
// Guarantees: a snapshot is never torn and never changes. What happened before a store() or update() happens before the
// load() that returns it. Updates are made one on the other: none is lost. Old values are destroyed by whoever gives up the
// last snapshot of them, outside all locks.
// Blocking and cancellation: nothing here waits for another caller, but for the few instructions of copying a pointer.
// Errors: what the value's constructor or the function throws; then nothing has changed.
// Cost: one allocation for each value; load() is a short lock and a count, store() a short lock.
// Source: the atomic shared_ptr of C++20. Rejected in docs/design: counters split over the word of the pointer.
#pragma once

#include <runnel/detail/announced_lock.hpp>
#include <runnel/sched/operation.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

template <class T>
class atomic_snapshot {
 public:
  using snapshot = std::shared_ptr<const T>;

  atomic_snapshot()
    requires std::default_initializable<T>
      : current_(std::make_shared<const T>()) {}
  explicit atomic_snapshot(T value) : current_(std::make_shared<const T>(std::move(value))) {}
  atomic_snapshot(const atomic_snapshot&) = delete;
  atomic_snapshot& operator=(const atomic_snapshot&) = delete;

  /// The current value; never null.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  snapshot load() const noexcept {
    sched::choice_point(sched::operation::load, this);
    const detail::announced_guard hold(lock_);
    return current_;
  }
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void store(T value) {
    auto fresh = std::make_shared<const T>(std::move(value));
    sched::choice_point(sched::operation::store, this);
    const detail::announced_guard hold(lock_);
    current_.swap(fresh);  // the old one ends behind the lock: the guard is gone first
  }
  /// Replaces the value by f(value), and returns the new one. f is called again when another writer was faster.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  template <std::invocable<const T&> F>
  snapshot update(F&& f) {
    for (snapshot seen = load();;) {
      auto fresh = std::make_shared<const T>(std::invoke(f, *seen));
      sched::choice_point(sched::operation::exchange, this);
      snapshot old;  // ends behind the lock
      const detail::announced_guard hold(lock_);
      if (current_ == seen) {
        old = std::exchange(current_, fresh);
        return fresh;
      }
      old = std::exchange(seen, current_);
    }
  }

 private:
  mutable detail::announced_lock lock_;
  snapshot current_;
};

}  // namespace runnel::inline RUNNEL_ABI
