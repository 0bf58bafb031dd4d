#include "base/kernel_clock.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

time_point kernel_now() noexcept { return std::chrono::steady_clock::now(); }

std::chrono::system_clock::time_point kernel_system_now() noexcept { return std::chrono::system_clock::now(); }

}  // namespace runnel::inline RUNNEL_ABI::detail
