// What the calling thread has done that costs more than a plain access. The counters are each thread's own: the monitor
// and the thread that called run() do not disturb those of the worker.
#pragma once

#include <atomic>
#include <cstdint>

namespace budget {

struct counts {
  std::int64_t rmw = 0;          ///< read-modify-writes, compare-exchanges that fail among them
  std::int64_t fences = 0;       ///< full ones: seq_cst fences, and seq_cst stores, which need one
  std::int64_t stores = 0;       ///< release stores; seq_cst ones are among `fences`
  std::int64_t allocations = 0;  ///< calls of operator new

  friend counts operator+(const counts& a, const counts& b) noexcept {
    return {a.rmw + b.rmw, a.fences + b.fences, a.stores + b.stores, a.allocations + b.allocations};
  }
  friend counts operator-(const counts& a, const counts& b) noexcept {
    return {a.rmw - b.rmw, a.fences - b.fences, a.stores - b.stores, a.allocations - b.allocations};
  }
};

counts now() noexcept;

void note_rmw() noexcept;
void note_store(std::memory_order o) noexcept;
void note_fence(std::memory_order o) noexcept;

}  // namespace budget
