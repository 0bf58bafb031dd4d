// Threads for calls that block: as many as there are calls in flight, up to a limit; idle ones leave after a while.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstddef>

namespace runnel::inline RUNNEL_ABI::sched {

/// A call to be made by the pool; stands in the caller's frame. All links under the pool's lock.
struct blocking_job {
  void (*run)(blocking_job&) noexcept = nullptr;  ///< must end by waking the caller, and touch nothing after it
  blocking_job* next = nullptr;
  bool queued = false;
};

void submit_blocking(blocking_job& j);
/// Takes a job back that no thread has begun; false when one has.
bool withdraw_blocking(blocking_job& j) noexcept;

/// Jobs queued or running.
std::size_t blocking_jobs() noexcept;
/// Threads of the pool.
std::size_t blocking_threads() noexcept;

/// Ends the idle threads and waits for them.
void stop_blocking_pool() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
