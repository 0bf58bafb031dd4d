#include "base/last_errno.hpp"

#include <cerrno>

namespace runnel::inline RUNNEL_ABI::detail {

// The empty asm keeps the optimizer from merging two calls.
int last_errno() noexcept {
  asm volatile("");
  return errno;
}
int* errno_address() noexcept {
  asm volatile("");
  return &errno;
}

}  // namespace runnel::inline RUNNEL_ABI::detail
