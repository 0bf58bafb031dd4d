#include <runnel/base/backoff.hpp>

#include "base/futex.hpp"
#include "base/sizes.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

void backoff::wait(const shim::atomic<std::uint64_t>& word, std::uint64_t seen) noexcept {
  const int round = round_++;
  if (round < sizes::peer_spin_rounds) {
    for (int i = 0; i < 1 << round; ++i) shim::spin_pause();
  } else {
    give_way(word, seen, round - sizes::peer_spin_rounds);
  }
}

}  // namespace runnel::inline RUNNEL_ABI::detail
