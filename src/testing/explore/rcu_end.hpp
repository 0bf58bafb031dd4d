// What a schedule leaves in the domain of RCU, which outlives it.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::sched {
class world;
}

namespace runnel::inline RUNNEL_ABI::detail::explorer {

/// The world has been closed. Sections of fibers that never run again end. What its members retired is deleted if the schedule
/// is complete; else it stays for ever, for what its deleters use may be gone.
void end_rcu_of(const sched::world& w, std::uint32_t number, bool complete) noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail::explorer
