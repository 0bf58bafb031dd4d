// Fibers and their stacks: given out, taken back, listed for reports.
#pragma once

#include "sched/agent.hpp"

namespace runnel::inline RUNNEL_ABI::sched {

/// Waits until no started fiber is left, or the deadline; false then. From a thread.
bool wait_until_none_live(time_point deadline) noexcept;
/// Ends such waits: nothing will change any more.
void give_up_waiting() noexcept;

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
