// Stacks: mapped in slabs, guarded at the low end, given out again hot.
//
// Invariants
//  1. A slab is never unmapped, so an address inside one names a slot for ever.
//  2. Every slot has its guard from the moment it can be given out.
//
// Guards, the first of these that works for a whole slab:
//  advice    MADV_GUARD_INSTALL (Linux 6.13; refused for locked memory): costs no mapping
//  mapping   mprotect: two mappings a stack, and the kernel limits the mappings of a process; used up to half of that
//            limit, the other half is the program's
//  software  what the scheduler checks when a fiber leaves its stack: the stack pointer, and the lowest bytes, which
//            must still be zero. Zero and no pattern: a pattern would have to be written, which costs a page a stack.
// Rejected for `software`: doing without (what other libraries do at the limit): an overflow would pass unseen.
#pragma once

#include <runnel/fiber/stack.hpp>

#include <cstddef>
#include <cstdint>

namespace runnel::inline RUNNEL_ABI::detail {

enum class guard_kind : std::uint8_t { advice, mapping, software };

struct slab {
  std::byte* base = nullptr;
  std::size_t slots = 0;
  stack_class size_class = stack_class::standard;
  guard_kind guard = guard_kind::advice;
  void* records = nullptr;  ///< slots * record_bytes of zeroed memory for the owner of the stacks

  std::byte* slot(std::size_t i) const noexcept { return base + i * stack_bytes(size_class); }
};

/// Maps a slab; null when there is no memory for it.
slab* map_slab(stack_class c, std::size_t record_bytes) noexcept;

/// The slabs mapped so far. Async-signal-safe.
std::size_t slab_count() noexcept;
const slab& slab_at(std::size_t i) noexcept;

/// Bytes at the low end of a stack that are not to be used: they fault when touched, unless the guard is in software.
[[gnu::const]] std::size_t guard_bytes(stack_class c) noexcept;

/// For stacks whose guard is in software: whether one whose lowest usable byte is `bottom` has been used up, by somebody
/// whose stack pointer is now `sp`.
bool used_up(const std::byte* bottom, const void* sp) noexcept;

/// Gives the memory of an unused stack back; the addresses stay.
void drop_pages(std::byte* bottom, std::byte* top) noexcept;

/// A stack of its own mapping, for builds in which stacks must not be used twice. A null base without memory.
struct single_stack {
  std::byte* base;
  guard_kind guard;
};
single_stack map_single(stack_class c) noexcept;
void unmap_single(single_stack s, stack_class c) noexcept;

/// For tests, before the first stack: what to do without, as a kernel that has it not.
struct guard_limits {
  bool advice = true;
  std::size_t mappings;  ///< the most that guards may cost
};
/// Half of what the kernel grants a process.
std::size_t most_guard_mappings() noexcept;
void set_guard_limits(guard_limits l) noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
