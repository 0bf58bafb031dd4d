// Stands in for <runnel/base/atomic.hpp> in the build that counts: the same interface, std::atomic behind it, and each
// access that costs something is noted for the calling thread.
#pragma once

#include "count.hpp"

#include <runnel/base/abi.hpp>

#include <atomic>

namespace runnel::inline RUNNEL_ABI::shim {

namespace order {
inline constexpr std::memory_order relaxed = std::memory_order_relaxed;
inline constexpr std::memory_order acquire = std::memory_order_acquire;
inline constexpr std::memory_order release = std::memory_order_release;
inline constexpr std::memory_order acq_rel = std::memory_order_acq_rel;
inline constexpr std::memory_order seq_cst = std::memory_order_seq_cst;
}  // namespace order

template <class T>
class atomic {
 public:
  constexpr atomic() noexcept = default;
  constexpr explicit atomic(T v) noexcept : value_(v) {}
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  T load(std::memory_order o) const noexcept { return value_.load(o); }
  void store(T v, std::memory_order o) noexcept {
    budget::note_store(o);
    value_.store(v, o);
  }
  T exchange(T v, std::memory_order o) noexcept {
    budget::note_rmw();
    return value_.exchange(v, o);
  }
  bool compare_exchange(T& expected, T desired, std::memory_order success, std::memory_order failure) noexcept {
    budget::note_rmw();  // a failed one too: it takes the line as well
    return value_.compare_exchange_strong(expected, desired, success, failure);
  }
  T fetch_add(T v, std::memory_order o) noexcept {
    budget::note_rmw();
    return value_.fetch_add(v, o);
  }
  T fetch_sub(T v, std::memory_order o) noexcept {
    budget::note_rmw();
    return value_.fetch_sub(v, o);
  }
  T fetch_or(T v, std::memory_order o) noexcept {
    budget::note_rmw();
    return value_.fetch_or(v, o);
  }
  T fetch_and(T v, std::memory_order o) noexcept {
    budget::note_rmw();
    return value_.fetch_and(v, o);
  }

  const void* address() const noexcept { return &value_; }

 private:
  std::atomic<T> value_{};
};

inline void fence(std::memory_order o) noexcept {
  budget::note_fence(o);
  std::atomic_thread_fence(o);
}

inline void light_fence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

inline void spin_pause() noexcept {}

}  // namespace runnel::inline RUNNEL_ABI::shim
