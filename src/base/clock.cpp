#include <runnel/base/clock.hpp>

namespace runnel::inline RUNNEL_ABI {

time_point steady_clock::now() noexcept { return std::chrono::steady_clock::now(); }

std::chrono::system_clock::time_point detail::system_now() noexcept { return std::chrono::system_clock::now(); }

}  // namespace runnel::inline RUNNEL_ABI
