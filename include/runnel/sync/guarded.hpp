// A value and the mutex that guards it, in one: there is no way to the value but through the lock.
//
// Use when: a structure is shared and changed in place, for moments. When not: it is read much more than written (an
// atomic_snapshot), or hot (striped_counter, concurrent_map); and never hold the guard across something that may wait long.
// Guarantees: mutual exclusion; what happened under the lock happens before the next lock() returns.
// Blocking and cancellation: as runnel::mutex: lock() ignores cancellation, lock(ctx) observes it.
// Errors: a guard that was moved from or unlocked throws misuse where it is used.
// Cost: a mutex beside the value; lock and unlock of it, no allocation.
// Source: folly::Synchronized; Rust's Mutex<T>.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/sync/mutex.hpp>

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

/// A locked value: unlocks at its end. Belongs to one fiber or thread at a time. Clang's analysis need not follow it: the
/// value is out of reach without the lock.
template <class T>
class [[nodiscard("the lock is given back at once: keep the guard, or use with()")]] locked {
 public:
  locked(locked&& o) noexcept : value_(std::exchange(o.value_, nullptr)), mutex_(std::exchange(o.mutex_, nullptr)) {}
  locked& operator=(locked&& o) noexcept RUNNEL_NO_THREAD_SAFETY_ANALYSIS {
    if (this != &o) {
      if (mutex_) mutex_->unlock();
      value_ = std::exchange(o.value_, nullptr);
      mutex_ = std::exchange(o.mutex_, nullptr);
    }
    return *this;
  }
  ~locked() RUNNEL_NO_THREAD_SAFETY_ANALYSIS {
    if (mutex_) mutex_->unlock();
  }

  T* operator->() const { return checked(); }
  T& operator*() const& { return *checked(); }
  /// A reference from a guard that is gone at the end of the line would outlive the lock.
  T& operator*() const&& = delete;
  /// Gives the lock back before the end of the scope.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  void unlock() RUNNEL_NO_THREAD_SAFETY_ANALYSIS {
    static_cast<void>(checked());
    value_ = nullptr;
    std::exchange(mutex_, nullptr)->unlock();
  }

 private:
  template <class U>
  friend class guarded;
  locked(T& value, mutex& m) noexcept : value_(&value), mutex_(&m) {}
  T* checked() const {
    if (!value_) detail::throw_misuse("runnel::guarded: the guard was unlocked or moved from: lock() again");
    return value_;
  }
  T* value_;
  mutex* mutex_;
};

template <class T>
class guarded {
 public:
  guarded() = default;
  /// Made from what T is made from.
  template <class... A>
    requires std::is_constructible_v<T, A...>
  explicit guarded(std::in_place_t, A&&... a) : value_(std::forward<A>(a)...) {}
  explicit guarded(T value) : value_(std::move(value)) {}
  guarded(const guarded&) = delete;
  guarded& operator=(const guarded&) = delete;

  /// - blocks: until the lock is free
  /// - cancel: ignores
  /// - threads: any
  RUNNEL_PARKS locked<T> lock() { return take(value_); }
  RUNNEL_PARKS locked<const T> lock() const { return take(value_); }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until the lock is free
  /// - cancel: throws canceled without the lock
  /// - threads: any
  RUNNEL_PARKS locked<T> lock(const context& ctx) { return take(ctx, value_); }
  RUNNEL_PARKS locked<const T> lock(const context& ctx) const { return take(ctx, value_); }
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::optional<locked<T>> try_lock() RUNNEL_NO_THREAD_SAFETY_ANALYSIS {
    if (!mutex_.try_lock()) return std::nullopt;
    return locked<T>(value_, mutex_);
  }
  /// f(value) under the lock; its result, which cannot be a reference.
  /// - blocks: until the lock is free
  /// - cancel: ignores
  /// - threads: any
  template <class F>
  RUNNEL_PARKS auto with(F&& f) {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, T&>>, "with(): a reference would outlive the lock");
    const locked<T> held = lock();
    return std::invoke(std::forward<F>(f), *held);
  }
  template <class F>
  RUNNEL_PARKS auto with(F&& f) const {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, const T&>>, "with(): a reference would outlive the lock");
    const locked<const T> held = lock();
    return std::invoke(std::forward<F>(f), *held);
  }
  /// The same; the wait for the lock observes ctx and the ambient context.
  /// - blocks: until the lock is free
  /// - cancel: throws canceled, f is not called
  /// - threads: any
  template <class F>
  RUNNEL_PARKS auto with(const context& ctx, F&& f) {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, T&>>, "with(): a reference would outlive the lock");
    const locked<T> held = lock(ctx);
    return std::invoke(std::forward<F>(f), *held);
  }
  template <class F>
  RUNNEL_PARKS auto with(const context& ctx, F&& f) const {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, const T&>>, "with(): a reference would outlive the lock");
    const locked<const T> held = lock(ctx);
    return std::invoke(std::forward<F>(f), *held);
  }

 private:
  template <class U>
  locked<U> take(U& value) const RUNNEL_NO_THREAD_SAFETY_ANALYSIS {
    mutex_.lock();
    return locked<U>(value, mutex_);
  }
  template <class U>
  locked<U> take(const context& ctx, U& value) const RUNNEL_NO_THREAD_SAFETY_ANALYSIS {
    mutex_.lock(ctx);
    return locked<U>(value, mutex_);
  }
  mutable mutex mutex_;
  T value_{};
};

}  // namespace runnel::inline RUNNEL_ABI
