#include <runnel/base/backoff.hpp>

#include "base/futex.hpp"
#include "base/sizes.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

namespace {
void pause(int times) noexcept {
  for (; times > 0; --times) shim::spin_pause();
}
}  // namespace

void backoff::lost() noexcept {
  pause(1 << lost_);
  if (lost_ < sizes::lost_rounds) ++lost_;
}

void backoff::wait(const shim::atomic<std::uint64_t>& word, std::uint64_t seen) noexcept {
  const int round = waited_++;
  if (round < sizes::peer_spin_rounds) {
    pause(sizes::peer_pauses << round);
  } else {
    give_way(word, seen, round - sizes::peer_spin_rounds);
  }
}

}  // namespace runnel::inline RUNNEL_ABI::detail
