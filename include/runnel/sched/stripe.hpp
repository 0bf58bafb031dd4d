// Which part of a striped structure is the caller's: what many change at the same time is divided, and each changes a part
// that few others do. Never a promise: a fiber may be on another worker right after the call.
#pragma once

#include <runnel/base/abi.hpp>

namespace runnel::inline RUNNEL_ABI::sched {

/// How many parts are enough for this machine: a power of two, at most 64.
unsigned stripe_count() noexcept;
/// Any number; different ones for workers that run at the same time, mostly different ones for threads. Modulo the count.
[[gnu::noinline]] unsigned stripe_of_caller() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
