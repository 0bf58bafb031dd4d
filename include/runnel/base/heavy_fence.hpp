// A fence for two sides of which one passes often and the other seldom: the frequent one executes a light_fence(), which
// only keeps the compiler from moving accesses across it; the seldom one a heavy_fence(), which has the kernel execute a
// full fence on every thread of the process. Between a light and a heavy one they order as two seq_cst fences would;
// two light ones order nothing.
//
// Where the kernel has no membarrier, or a filter forbids it, there is no heavy fence, and both sides need a real one.
// Source: Linux's membarrier(2); "Asymmetric Fences" (wg21.link/p1202).
#pragma once

#include <runnel/base/atomic.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

/// Whether heavy_fence() may be used. The first call asks the kernel.
bool has_heavy_fence() noexcept;
void heavy_fence() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
