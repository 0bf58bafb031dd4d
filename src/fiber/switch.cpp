#include "fiber/switch.hpp"

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::detail {

void* prepare_stack(std::byte* top, void* argument) noexcept {
  auto address = reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{15};
  auto* frame = reinterpret_cast<void**>(address);
  // From high to low: two words of padding that keep the 16-byte alignment, the address to continue at, then
  // rbp, rbx, r12, r13, r14, r15 as runnel_switch pops them.
  *--frame = nullptr;
  *--frame = nullptr;
  *--frame = reinterpret_cast<void*>(&runnel_fiber_start);
  *--frame = nullptr;   // rbp: ends a walk along frame pointers
  *--frame = nullptr;   // rbx
  *--frame = argument;  // r12
  *--frame = nullptr;
  *--frame = nullptr;
  *--frame = nullptr;
  return frame;
}

}  // namespace runnel::inline RUNNEL_ABI::detail
