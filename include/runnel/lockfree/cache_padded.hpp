// A value with cache lines of its own: what one core writes does not slow down what another one uses beside it.
//
// Use when: values that stand side by side are written by different threads all the time: counters, heads and tails, locks of
// an array. When not: a single object, or values that are used together; it costs 128 bytes each.
// Cost: two cache lines, because the hardware fetches lines in pairs (x86-64) or has longer ones (some AArch64).
// Source: Intel 64 and IA-32 Architectures Optimization Reference Manual, "Spatial Prefetcher"; crossbeam's CachePadded.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstddef>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

template <class T>
class alignas(128) cache_padded {
 public:
  using value_type = T;
  constexpr cache_padded() = default;
  /// Made from what T is made from.
  template <class... A>
    requires(sizeof...(A) > 0)
  constexpr explicit cache_padded(std::in_place_t, A&&... a) : value_(std::forward<A>(a)...) {}
  constexpr explicit cache_padded(T v) : value_(std::move(v)) {}

  constexpr T& operator*() noexcept { return value_; }
  constexpr const T& operator*() const noexcept { return value_; }
  constexpr T* operator->() noexcept { return &value_; }
  constexpr const T* operator->() const noexcept { return &value_; }

 private:
  T value_{};
};

}  // namespace runnel::inline RUNNEL_ABI
