#include <runnel/base/raw_lock.hpp>

#include "base/futex.hpp"
#include "base/sizes.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

void raw_lock::lock_slow() noexcept {
  for (int round = 0;; ++round) {
    if (round < sizes::lock_spin_rounds) {
      for (int i = 0; i < sizes::lock_pauses << round; ++i) shim::spin_pause();
    } else {
      give_way(word_, held, round - sizes::lock_spin_rounds);
    }
    if (try_lock()) return;  // no look before: who comes once in microseconds disturbs nobody
  }
}

}  // namespace runnel::inline RUNNEL_ABI::detail
