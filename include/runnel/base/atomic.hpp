// The atomic shim: the one door to atomics. No default memory order, no operators, so that every access
// names its order and can explain it. A checking build replaces this file and nothing else.
#pragma once

#include <runnel/base/abi.hpp>

#include <atomic>

namespace runnel::inline RUNNEL_ABI::shim {

/// The orders, short enough to stand in every call.
namespace order {
inline constexpr std::memory_order relaxed = std::memory_order_relaxed;
inline constexpr std::memory_order acquire = std::memory_order_acquire;
inline constexpr std::memory_order release = std::memory_order_release;
inline constexpr std::memory_order acq_rel = std::memory_order_acq_rel;
inline constexpr std::memory_order seq_cst = std::memory_order_seq_cst;
}  // namespace order

/// An atomic object whose every access names its memory order.
template <class T>
class atomic {
 public:
  constexpr atomic() noexcept = default;
  constexpr explicit atomic(T v) noexcept : value_(v) {}
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  T load(std::memory_order o) const noexcept { return value_.load(o); }
  void store(T v, std::memory_order o) noexcept { value_.store(v, o); }
  T exchange(T v, std::memory_order o) noexcept { return value_.exchange(v, o); }
  bool compare_exchange(T& expected, T desired, std::memory_order success,
                        std::memory_order failure) noexcept {
    return value_.compare_exchange_strong(expected, desired, success, failure);
  }
  T fetch_add(T v, std::memory_order o) noexcept { return value_.fetch_add(v, o); }
  T fetch_sub(T v, std::memory_order o) noexcept { return value_.fetch_sub(v, o); }
  T fetch_or(T v, std::memory_order o) noexcept { return value_.fetch_or(v, o); }
  T fetch_and(T v, std::memory_order o) noexcept { return value_.fetch_and(v, o); }

  /// The address of the word, for the kernel's wait and wake.
  const void* address() const noexcept { return &value_; }

 private:
  std::atomic<T> value_{};
};

#if defined(__SANITIZE_THREAD__)
#define RUNNEL_INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RUNNEL_INSTRUMENTED 1
#endif
#endif

/// The fence of the library's own code, out of line.
void compiled_fence(std::memory_order o) noexcept;

inline void fence(std::memory_order o) noexcept {
#if defined(RUNNEL_INSTRUMENTED)
  compiled_fence(o);  // ThreadSanitizer knows no fences, and g++ 12 warns of them; the library is not instrumented
#else
  std::atomic_thread_fence(o);
#endif
}
/// Orders nothing but for who executes a heavy fence: see <runnel/base/heavy_fence.hpp>.
inline void light_fence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

/// Tells the core that it spins.
inline void spin_pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace runnel::inline RUNNEL_ABI::shim
