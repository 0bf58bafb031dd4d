// Stacks: mapped in slabs, guarded at the low end, given out again hot.
//
// Invariants
//  1. A slab is never unmapped, so an address inside one names a slot for ever (overflow reports rely on it).
//  2. Every slot has its guard from the moment it can be given out.
// Guards are MADV_GUARD_INSTALL where the kernel has it (Linux 6.13: no extra mapping), mprotect elsewhere.
#pragma once

#include <runnel/fiber/stack.hpp>

#include <cstddef>

namespace runnel::inline RUNNEL_ABI::detail {

struct slab {
  std::byte* base = nullptr;
  std::size_t slots = 0;
  stack_class size_class = stack_class::standard;
  void* records = nullptr;  ///< slots * record_bytes of zeroed memory for the owner of the stacks

  std::byte* slot(std::size_t i) const noexcept { return base + i * stack_bytes(size_class); }
};

/// Maps a slab; null when there is no memory for it.
slab* map_slab(stack_class c, std::size_t record_bytes) noexcept;

/// The slab whose stacks hold `address`, or null. Async-signal-safe.
const slab* find_slab(const void* address) noexcept;

/// The slabs mapped so far. Async-signal-safe.
std::size_t slab_count() noexcept;
const slab& slab_at(std::size_t i) noexcept;

/// Bytes at the low end of a stack that fault when touched.
std::size_t guard_bytes(stack_class c) noexcept;

/// A stack of its own mapping, for builds in which stacks must not be used twice. Null without memory.
std::byte* map_single(stack_class c) noexcept;
void unmap_single(std::byte* base, stack_class c) noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
