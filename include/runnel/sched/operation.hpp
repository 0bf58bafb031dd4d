// The one seam between the public operations and the explorer: choice_point() stands at the beginning of each, before it
// touches anything. In the build for exploration another fiber may run there; elsewhere it is nothing.
//
// To be called without locks. It throws nothing and says nothing about cancellation.
#pragma once

#include <runnel/base/source_location.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::sched {

/// What is about to happen; `names` in src/testing/explore/trace.cpp follows this order.
enum class operation : std::uint8_t {
  start, join, look, cancel, yield, sleep, send, receive, close, select, lock, try_lock, unlock, add, wait, arm, stop,
  load, store, exchange, read, write,
  notify, acquire, release, lock_shared, unlock_shared,
  push, pop, protect, retire,
};

// Only in the build for exploration.
void explored_choice_point(operation o, const void* object, const detail::site& at) noexcept;
void explored_release(const void* address) noexcept;
void explored_acquire(const void* address) noexcept;
void explored_access(operation o, const void* variable, const detail::site& at) noexcept;
void explored_end_of(const void* variable) noexcept;

/// The caller is about to do `o` with `object`.
inline void choice_point([[maybe_unused]] operation o, [[maybe_unused]] const void* object,
                         [[maybe_unused]] const detail::site& at = {}) noexcept {
  if constexpr (detail::exploring) explored_choice_point(o, object, at);
}
/// What the caller did so far happens before whatever follows an announced_acquire of the same address.
inline void announced_release([[maybe_unused]] const void* address) noexcept {
  if constexpr (detail::exploring) explored_release(address);
}
inline void announced_acquire([[maybe_unused]] const void* address) noexcept {
  if constexpr (detail::exploring) explored_acquire(address);
}
/// Reads or writes a variable that nothing protects by itself; a choice point.
inline void announced_access([[maybe_unused]] operation o, [[maybe_unused]] const void* variable,
                             [[maybe_unused]] const detail::site& at) noexcept {
  if constexpr (detail::exploring) explored_access(o, variable, at);
}
inline void announced_end_of([[maybe_unused]] const void* variable) noexcept {
  if constexpr (detail::exploring) explored_end_of(variable);
}

}  // namespace runnel::inline RUNNEL_ABI::sched
