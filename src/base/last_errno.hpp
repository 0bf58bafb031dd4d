// errno through a call that is never inlined: its address belongs to the thread, and a compiler may keep it
// across a suspension after which the fiber runs on another one.
#pragma once

#include <runnel/base/abi.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

/// The calling thread's errno.
[[gnu::noinline]] int last_errno() noexcept;
/// Where the calling thread's errno lives; for a worker that keeps it for its own life.
[[gnu::noinline]] int* errno_address() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
