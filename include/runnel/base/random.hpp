// The one source of random choices inside the library (select arms, victims of a steal).
#pragma once

#include <runnel/base/abi.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::detail {

/// A uniform number in [0, bound); bound > 0.
std::uint32_t random_below(std::uint32_t bound) noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
