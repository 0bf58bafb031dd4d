// Stands in for src/base/futex.hpp in a model build. The kernel's part, as the checker plays it: the compare and the
// sleep are one step that reads the newest value; a wake-up picks any of the sleepers; neither orders anything.
#pragma once

#include <runnel/base/atomic.hpp>
#include <runnel/base/clock.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

inline bool futex_wait(const shim::atomic<std::uint32_t>& word, std::uint32_t expected, time_point deadline = never,
                       model::detail::site at = model::detail::site::here()) noexcept {
  return model::detail::futex_wait(*static_cast<const model::detail::word*>(word.address()), expected, deadline != never, at);
}
inline void futex_wake(const shim::atomic<std::uint32_t>& word, int count,
                       model::detail::site at = model::detail::site::here()) noexcept {
  model::detail::futex_wake(*static_cast<const model::detail::word*>(word.address()), count, at);
}
inline void give_way(const shim::atomic<std::uint32_t>&, std::uint32_t, int,
                     model::detail::site at = model::detail::site::here()) noexcept {
  model::detail::pause(at);
}
inline void give_way(const shim::atomic<std::uint64_t>&, std::uint64_t, int,
                     model::detail::site at = model::detail::site::here()) noexcept {
  model::detail::pause(at);
}
inline void count_kernel_wake() noexcept {}

}  // namespace runnel::inline RUNNEL_ABI::detail
