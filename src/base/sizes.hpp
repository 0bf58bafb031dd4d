// Sizes and counts that a checking build shrinks (RUNNEL_SMALL_SIZES), so that a few steps fill, wrap and exhaust them.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstddef>
#include <cstdint>

namespace runnel::inline RUNNEL_ABI::sizes {

#if defined(RUNNEL_SMALL_SIZES)
inline constexpr bool small = true;
#else
inline constexpr bool small = false;
#endif

inline constexpr std::uint32_t ring = small ? 4 : 256;    ///< fibers in a worker's own queue; a power of two
inline constexpr std::size_t segment = small ? 2 : 256;   ///< elements in one piece of a channel's buffer
inline constexpr int lock_pauses = 64;                    ///< before the first look at a taken lock; doubled in each round
inline constexpr int lock_spin_rounds = small ? 0 : 4;    ///< before its waiter gives way
inline constexpr int peer_pauses = 16;                    ///< of who waits for a peer; doubled in each round
inline constexpr int peer_spin_rounds = small ? 0 : 4;    ///< before he gives way
inline constexpr int lost_rounds = small ? 0 : 7;         ///< by which the pauses of who loses a race are doubled
inline constexpr int steal_rounds = small ? 1 : 4;        ///< looks at every other queue before a search is given up
inline constexpr int far_waits = small ? 1 : 16;          ///< heavy fences of one-to-one channels between looks at their use
inline constexpr std::size_t hazard_block = small ? 1 : 8;        ///< hazard pointers made at a time; kept for use twice as many
inline constexpr std::size_t retired = small ? 2 : 1024;          ///< objects of a thread, before it looks which nobody protects
inline constexpr std::size_t retired_for_a_slot = small ? 0 : 2;  ///< the same, for each hazard pointer there is
inline constexpr std::size_t rcu_retired = small || detail::exploring ? 2 : 32;  ///< objects before a grace period of RCU begins for them

}  // namespace runnel::inline RUNNEL_ABI::sizes
