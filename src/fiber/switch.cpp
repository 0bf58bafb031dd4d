#include "fiber/switch.hpp"

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::detail {

void* prepare_stack(std::byte* top, void* argument) noexcept {
  auto address = reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{15};
  auto* frame = reinterpret_cast<void**>(address);
#if defined(__x86_64__)
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
#elif defined(__aarch64__)
  // The 160 bytes that runnel_switch loads: x29 (0 ends a walk along frame pointers), x30, x19 to x28, d8 to d15.
  for (int i = 0; i < 20; ++i) *--frame = nullptr;
  frame[1] = reinterpret_cast<void*>(&runnel_fiber_start);  // x30
  frame[2] = argument;                                      // x19
#else
#error "runnel: no context switch for this processor; there is one for x86-64 and one for AArch64"
#endif
  return frame;
}

}  // namespace runnel::inline RUNNEL_ABI::detail
