// The monitor: one thread that looks in now and then, and sleeps for as long as every worker does.
//
// It moves what a hog keeps from others (its run-next fiber; its ring is there to be stolen), fires timers that nobody
// looks after, names a fiber that keeps a worker for longer than the hog limit, and decides whether everything is
// deadlocked. It gives memory of idle stacks back; when none is left and nothing runs, it sleeps without a time-out: an
// idle program is not woken by it.
#pragma once

#include <runnel/base/clock.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace runnel::inline RUNNEL_ABI::sched {

class runtime;

void start_monitor(runtime& r);
void stop_monitor() noexcept;

/// A worker found work after it had slept.
void monitor_note_activity() noexcept;

/// How long a fiber may keep a worker before it is reported.
void set_hog_limit(duration limit) noexcept;

/// Called on the monitor's thread with the report when nothing can run again; true: dealt with.
using deadlock_handler = std::function<bool(const std::string& report)>;
/// Registers a handler; the newest is asked first. Returns the number to remove it by.
std::uint64_t add_deadlock_handler(deadlock_handler h);
void remove_deadlock_handler(std::uint64_t number) noexcept;

/// Whether no fiber can ever run again, as far as the runtime knows; the monitor decides over two looks.
bool everything_blocked() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
