// How a lock-free structure makes room for the others: after a race that it has lost, and for a peer that has claimed a
// place and not finished with it, which takes a few instructions, or the rest of a time slice when the peer's thread was
// stopped in between.
#pragma once

#include <runnel/base/atomic.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::detail {

/// One object for each operation.
class backoff {
 public:
  /// After a compare-exchange that somebody else's has made fail: pauses, longer each time up to a bound. Meanwhile the
  /// winner goes on with the cache lines that it has: they move less often, and more gets done by all together.
  void lost() noexcept;
  /// Pauses, for long enough at once that the peer has made some more when it is busy, and longer each time; then offers
  /// the processor; then sleeps for moments while `word` holds `seen`. Keeps the thread: no other fiber runs on it
  /// meanwhile. Orders nothing.
  void wait(const shim::atomic<std::uint64_t>& word, std::uint64_t seen) noexcept;

 private:
  int lost_ = 0;
  int waited_ = 0;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
