// Sizes and counts that a model build shrinks, so that a few steps fill, wrap and exhaust them (tests/model/replaced).
#pragma once

#include <runnel/base/abi.hpp>

#include <cstddef>
#include <cstdint>

namespace runnel::inline RUNNEL_ABI::sizes {

inline constexpr std::uint32_t ring = 256;           ///< fibers in a worker's own queue; a power of two
inline constexpr std::size_t segment = 256;          ///< elements in one piece of a channel's buffer
inline constexpr int lock_spins = 100;               ///< looks at a taken lock before its waiter sleeps
inline constexpr int steal_rounds = 4;               ///< looks at every other queue before a search is given up

}  // namespace runnel::inline RUNNEL_ABI::sizes
