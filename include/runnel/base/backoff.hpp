// How a lock-free structure waits for a peer that has claimed a place and not finished with it: that takes a few
// instructions, or the rest of a time slice when the peer's thread was stopped in between.
#pragma once

#include <runnel/base/atomic.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::detail {

/// One object for each operation that waits.
class backoff {
 public:
  /// Pauses, longer each time; then offers the processor; then sleeps for moments while `word` holds `seen`. Keeps the
  /// thread:
  /// no other fiber runs on it meanwhile. Orders nothing.
  void wait(const shim::atomic<std::uint64_t>& word, std::uint64_t seen) noexcept;

 private:
  int round_ = 0;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
