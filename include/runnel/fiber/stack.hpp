// Stack classes. A stack is reserved address space; a page costs memory once it has been touched.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstddef>
#include <cstdint>

namespace runnel::inline RUNNEL_ABI {

/// How much stack a fiber may use: 32 KiB, 256 KiB, 1 MiB, 8 MiB, a guard at its low end included. `standard` is
/// enough for formatted output, exceptions and most libraries; `small` is for very many simple fibers.
enum class stack_class : std::uint8_t { small, standard, large, huge };

/// Bytes of one stack of the class, guard included.
constexpr std::size_t stack_bytes(stack_class c) noexcept {
  constexpr std::size_t kib = 1024;
  switch (c) {
    case stack_class::small: return 32 * kib;
    case stack_class::large: return 1024 * kib;
    case stack_class::huge: return 8192 * kib;
    case stack_class::standard: break;
  }
  return 256 * kib;
}

}  // namespace runnel::inline RUNNEL_ABI
