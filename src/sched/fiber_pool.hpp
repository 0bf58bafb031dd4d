// Fibers and their stacks: given out, taken back, listed for reports.
#pragma once

#include "sched/agent.hpp"

namespace runnel::inline RUNNEL_ABI::sched {

/// What a worker keeps of its own, so that starting and ending fibers writes no line that other workers write.
class fiber_cache {
 public:
  fiber_cache() noexcept = default;
  fiber_cache(const fiber_cache&) = delete;
  fiber_cache& operator=(const fiber_cache&) = delete;
  ~fiber_cache();

  /// Null when memory is short.
  fiber* take(stack_class c) noexcept;
  void put_back(fiber* f) noexcept;
  /// The one that was put back last and is still here, or null.
  fiber* hottest(stack_class c) noexcept { return lists_[static_cast<std::size_t>(c)].first; }
  std::uint64_t next_id() noexcept;

 private:
  struct list {
    fiber* first = nullptr;
    std::size_t size = 0;
  };
  list lists_[4];
  std::uint64_t next_id_ = 0;
  std::uint64_t end_of_ids_ = 0;
};

// The monitor gives the memory of stacks that lie idle back. Workers keep some of their own, which it leaves alone.
/// Those that nobody has taken since the last call are to be trimmed.
void mark_idle_stacks() noexcept;
/// Trims up to `most` of them; whether more are left.
bool trim_idle_stacks(std::size_t most) noexcept;
/// Whether any unused stack, beside the workers' own, may hold memory.
bool any_idle_stacks() noexcept;

/// What saved_sp says of a fiber that has not begun: whoever resumes it begins it.
inline void* not_begun() noexcept {
  static constinit char mark = 0;
  return &mark;
}
/// Lays out the first frame of f, which is about to begin on the worker with that cache. The stack pointer to switch to.
void* begin_fiber(fiber& f, fiber_cache& cache) noexcept;

/// Waits until no started fiber is left, or the deadline; false then. From a thread.
bool wait_until_none_live(time_point deadline) noexcept;
/// Ends such waits: nothing will change any more.
void give_up_waiting() noexcept;
/// To be called by a worker that has found nothing to do, after a seq_cst fence: ends such waits if no fiber is left.
void notice_idleness() noexcept;

/// Calls f for every fiber that is not unused. The fields may change meanwhile.
template <class F>
void for_each_fiber(F f);

/// Marks every live fiber, or those of one bubble, abandoned: it never runs again. Returns how many.
std::size_t abandon_fibers(const world* of = nullptr) noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched

#include "fiber/stack_pool.hpp"

template <class F>
void runnel::sched::for_each_fiber(F f) {
  for (std::size_t i = 0; i < detail::slab_count(); ++i) {
    const detail::slab& s = detail::slab_at(i);
    auto* fibers = static_cast<fiber*>(s.records);
    for (std::size_t k = 0; k < s.slots; ++k) {
      // acquire: pairs with reserve_fiber(), the description is written
      if (fibers[k].state.load(shim::order::acquire) != fiber_state::unused) f(fibers[k]);
    }
  }
}
