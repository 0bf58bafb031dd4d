#include <runnel/base/heavy_fence.hpp>

#include "base/last_errno.hpp"

#include <runnel/base/assert.hpp>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {
/// Whether the kernel did it. Leaves errno alone: it is the fiber's.
bool membarrier(int command) noexcept {
  const int before = last_errno();
  const bool done = syscall(SYS_membarrier, command, 0, 0) == 0;
  *errno_address() = before;
  return done;
}
}  // namespace

bool has_heavy_fence() noexcept {
  static const bool has = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  return has;
}

void heavy_fence() noexcept {
  if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) return;
  // Whoever uses it has asked has_heavy_fence(); but a forked child may have to register anew.
  if (!membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) || !membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
    fatal("membarrier(2) has worked and does not any more: a filter that forbids it must be installed before runnel is used");
}

}  // namespace runnel::inline RUNNEL_ABI::detail
