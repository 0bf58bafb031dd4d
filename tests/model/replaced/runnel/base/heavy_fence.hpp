// Stands in for <runnel/base/heavy_fence.hpp> in a model build: one step in which every thread executes a seq_cst fence.
#pragma once

#include <runnel/base/atomic.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

/// Set by a test: the kernel has none.
inline bool heavy_fence_forbidden = false;

inline bool has_heavy_fence() noexcept { return !heavy_fence_forbidden; }
inline void heavy_fence(model::detail::site at = model::detail::site::here()) noexcept { model::detail::heavy_fence(at); }

}  // namespace runnel::inline RUNNEL_ABI::detail
