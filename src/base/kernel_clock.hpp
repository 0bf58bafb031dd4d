// The kernel's clocks, for the parts of the library that follow real time; everything else asks steady_clock.
#pragma once

#include <runnel/base/clock.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

time_point kernel_now() noexcept;
std::chrono::system_clock::time_point kernel_system_now() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
