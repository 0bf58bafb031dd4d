// Memory for what comes and goes with tasks: their frames, and contexts.
//
// Use it by deriving from `pooled`. What is bigger than 520 bytes or over-aligned comes from operator new.
// Guarantees: none about addresses; a piece may be freed by another thread than took it.
// Cost: on a worker, in the steady state, a few instructions without an atomic operation. Up to 2 MiB of each size, in
// steps of 16 bytes, are kept for the next ones.
// Source: J. Bonwick, J. Adams, "Magazines and Vmem", USENIX 2001.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstddef>
#include <cstdint>
#include <new>

namespace runnel::inline RUNNEL_ABI::sched {

/// Throws std::bad_alloc.
void* take_frame(std::size_t bytes);
void give_frame(void* p, std::size_t bytes) noexcept;

/// False under a sanitizer, which must see each piece come and go: then all come from operator new.
bool pools_frames() noexcept;
/// Pieces given out and not given back; counted in checked builds, else 0. Those from operator new are not among them.
std::int64_t live_frames() noexcept;
/// How many times a worker had no free piece and took one from the heap.
std::uint64_t frames_from_heap() noexcept;

struct pooled {
  static void* operator new(std::size_t bytes) { return take_frame(bytes); }
  static void operator delete(void* p, std::size_t bytes) noexcept { give_frame(p, bytes); }
  static void* operator new(std::size_t bytes, std::align_val_t a) { return ::operator new(bytes, a); }
  static void operator delete(void* p, std::size_t, std::align_val_t a) noexcept { ::operator delete(p, a); }
};

}  // namespace runnel::inline RUNNEL_ABI::sched
