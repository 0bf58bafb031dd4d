// An atomic object that explore() sees: std::atomic with named operations only, each of them a choice point.
//
// Use when: code under test shares a word without a lock. Elsewhere than under explore() it is std::atomic and costs the same.
// Guarantees: those of std::atomic with the given order. explore() interleaves the operations as if sequentially consistent;
// the order decides what is ordered by them, for the detection of races on shared_var.
#pragma once

#include <runnel/base/atomic.hpp>
#include <runnel/sched/operation.hpp>

namespace runnel::inline RUNNEL_ABI {

template <class T>
class atomic {
  using order = std::memory_order;

 public:
  using value_type = T;
  constexpr atomic() noexcept = default;
  constexpr explicit atomic(T value) noexcept : value_(value) {}
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  T load(order o = order::seq_cst, source_location at = source_location::current()) const noexcept {
    sched::choice_point(sched::operation::load, this, at);
    const T v = value_.load(o);  // the user's order
    acquired(o);
    return v;
  }
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void store(T v, order o = order::seq_cst, source_location at = source_location::current()) noexcept {
    sched::choice_point(sched::operation::store, this, at);
    released(o);
    value_.store(v, o);  // the user's order
  }
  /// The value before.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  T exchange(T v, order o = order::seq_cst, source_location at = source_location::current()) noexcept {
    return change(o, at, [&] { return value_.exchange(v, o); });  // the user's order
  }
  /// True, and desired stored, if it was `expected`; else `expected` is what it was.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool compare_exchange(T& expected, T desired, order o = order::seq_cst, source_location at = source_location::current()) noexcept {
    // the user's order; on failure the part of it that a load may have
    return change(o, at, [&] { return value_.compare_exchange(expected, desired, o, of_load(o)); });
  }
  T fetch_add(T v, order o = order::seq_cst, source_location at = source_location::current()) noexcept {
    return change(o, at, [&] { return value_.fetch_add(v, o); });  // the user's order
  }
  T fetch_sub(T v, order o = order::seq_cst, source_location at = source_location::current()) noexcept {
    return change(o, at, [&] { return value_.fetch_sub(v, o); });  // the user's order
  }
  T fetch_or(T v, order o = order::seq_cst, source_location at = source_location::current()) noexcept {
    return change(o, at, [&] { return value_.fetch_or(v, o); });  // the user's order
  }
  T fetch_and(T v, order o = order::seq_cst, source_location at = source_location::current()) noexcept {
    return change(o, at, [&] { return value_.fetch_and(v, o); });  // the user's order
  }

 private:
  static constexpr order of_load(order o) noexcept {
    return o == order::acq_rel ? order::acquire : o == order::release ? order::relaxed : o;
  }
  void acquired(order o) const noexcept {
    if (o != order::relaxed && o != order::release) sched::announced_acquire(this);
  }
  void released(order o) const noexcept {
    if (o != order::relaxed && o != order::acquire && o != order::consume) sched::announced_release(this);
  }
  template <class F>
  auto change(order o, const source_location& at, F f) noexcept {
    sched::choice_point(sched::operation::exchange, this, at);
    released(o);
    const auto result = f();
    acquired(o);
    return result;
  }

  shim::atomic<T> value_{};
};

}  // namespace runnel::inline RUNNEL_ABI
