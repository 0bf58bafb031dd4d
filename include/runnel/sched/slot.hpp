// For data that is kept in several places, so that those who run at the same time do not meet in one.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::sched {

/// How many places make sense: a power of two, as many as there are processors but at most 64.
std::uint32_t slots() noexcept;

/// A number of the caller: its worker's, for a thread outside one of its own; to be reduced modulo slots(). A hint: it may be
/// another one at the next call.
std::uint32_t slot_of_caller() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
