// The context switch: saves what the ABI lets a callee keep, and nothing else.
#pragma once

#include <runnel/base/atomic.hpp>

#include <cstddef>

extern "C" {
/// Saves the caller on its own stack, stores that stack pointer to *save and continues at next. The store to
/// *save is the last access to the old stack and has release order: whoever acquires a non-null value there may
/// resume the fiber. Floating-point control words are not switched: they belong to the worker.
void runnel_switch(void** save, void* next) noexcept;

/// Where a new fiber begins: calls runnel_fiber_main with what prepare_stack() was given.
void runnel_fiber_start() noexcept;

[[noreturn]] void runnel_fiber_main(void* argument) noexcept;
}

namespace runnel::inline RUNNEL_ABI::detail {

/// Lays out a first frame below `top` so that a switch to the result enters runnel_fiber_main(argument).
void* prepare_stack(std::byte* top, void* argument) noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
