#include <runnel/base/atomic.hpp>

namespace runnel::inline RUNNEL_ABI::shim {

void compiled_fence(std::memory_order o) noexcept { fence(o); }  // whatever order the caller gives its reason for

}  // namespace runnel::inline RUNNEL_ABI::shim
