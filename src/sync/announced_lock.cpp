#include <runnel/detail/announced_lock.hpp>

#include "fiber/sanitizer.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

void announced_lock::lock() noexcept {
  lock_.lock();
  sanitizer::hb_acquire(this);
}
void announced_lock::unlock() noexcept {
  sanitizer::hb_release(this);
  lock_.unlock();
}

}  // namespace runnel::inline RUNNEL_ABI::detail
