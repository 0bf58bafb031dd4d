#include <runnel/base/raw_lock.hpp>

#include "base/futex.hpp"
#include "base/sizes.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

void raw_lock::lock_slow() noexcept {
  for (int i = 0; i < sizes::lock_spins; ++i) {
    // relaxed: a hint, rechecked by try_lock()
    if (word_.load(shim::order::relaxed) == free && try_lock()) return;
    shim::spin_pause();
  }
  // acquire: pairs with unlock(). The word stays `contended` while anybody may sleep on it, so that the unlock
  // of every owner after us wakes one: no wake-up is lost.
  while (word_.exchange(contended, shim::order::acquire) != free) futex_wait(word_, contended);
}

void raw_lock::wake_one() noexcept { futex_wake(word_, 1); }

}  // namespace runnel::inline RUNNEL_ABI::detail
