// Lock order: one_waits_ is held while the group is waited for. Its producers never ask for it: they own no end of
// their own stream.
#include <runnel/detail/stream_core.hpp>

#include <mutex>

namespace runnel::inline RUNNEL_ABI::detail {

void stream_core::finish() {
  const std::lock_guard one(one_waits_);
  group_.wait();
}

bool stream_core::try_finish() {
  if (!one_waits_.try_lock()) return false;
  const std::lock_guard one(one_waits_, std::adopt_lock);
  const cancel_shield not_asked;  // who does not wait is not canceled
  return group_.wait_for(std::chrono::nanoseconds::zero());
}

}  // namespace runnel::inline RUNNEL_ABI::detail
