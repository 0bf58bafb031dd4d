// The scheduler's side of timers and descriptors: who looks at them, and who sleeps on them.
//
// One idle worker at a time holds the poller role and sleeps in epoll until the next timer; the others sleep in the
// futex. Busy workers look every 61 dispatches and before they go idle, the monitor where nobody did.
// No lost timer: the sleeper publishes until when it sleeps, then reads the next deadline again; who arms an
// earlier timer publishes the deadline, then reads until when the poller sleeps (all four seq_cst), and kicks it.
#pragma once

#include <runnel/sched/poller.hpp>
#include <runnel/sched/timer.hpp>

namespace runnel::inline RUNNEL_ABI::sched {

/// Fires what is due; returns quickly where nothing is.
void run_due_timers() noexcept;
/// The earliest deadline, `never` without timers.
time_point next_timer() noexcept;

/// Wakes the waiters of descriptors that are ready now; no system call while nobody waits for one.
void poll_descriptors() noexcept;
/// Parties that wait for descriptors.
std::size_t descriptor_waiters() noexcept;

/// Makes the one poller of the process; throws std::system_error when there is no descriptor for it.
void make_poller();
bool try_enter_poller() noexcept;
/// Sleeps until a descriptor is ready, a timer is due, or a kick, and handles it.
void wait_in_poller() noexcept;
void leave_poller() noexcept;
void kick_poller() noexcept;
/// For arm(): a timer at `deadline` is now the earliest.
void timer_moved_up(time_point deadline) noexcept;

/// Has `call` run whenever the descriptor becomes readable; for the library's own descriptors.
void watch_always(int fd, void (*call)() noexcept);

}  // namespace runnel::inline RUNNEL_ABI::sched
