// Stands in for src/base/sizes.hpp in a model build.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstddef>
#include <cstdint>

namespace runnel::inline RUNNEL_ABI::sizes {

inline constexpr std::uint32_t ring = 4;
inline constexpr std::size_t segment = 2;
inline constexpr int lock_spins = 1;
inline constexpr int steal_rounds = 1;

}  // namespace runnel::inline RUNNEL_ABI::sizes
