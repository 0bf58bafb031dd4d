// fork, as the runtime sees it.
//
// The child marks itself, forgets that the runtime runs (so whoever needs it comes to ensure_started(), which refuses), and
// gives up the worker on which it may find itself, so that wake-ups lead nowhere. The locks of the library itself that a
// child may need are held over the fork, so that it finds what they guard in order.
#pragma once

#include <runnel/base/raw_lock.hpp>
#include <runnel/sched/fork.hpp>

#include <cstddef>

namespace runnel::inline RUNNEL_ABI::sched {

/// In a child, under lock_of_signals(): caught signals do again what they did before. Nobody would take them here.
void forget_signals() noexcept;

/// From now on forks are noticed.
void watch_forks() noexcept;

// The locks that are held over a fork, in this order.
detail::raw_lock& lock_of_signals() noexcept;
detail::raw_lock& lock_of_timers() noexcept;
detail::raw_lock& lock_of_free_fibers(std::size_t size_class) noexcept;
detail::raw_lock& lock_of_thread_agents() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
