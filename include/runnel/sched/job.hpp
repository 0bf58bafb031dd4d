// What a fiber executes. For the layer that starts tasks.
#pragma once

#include <runnel/base/source_location.hpp>
#include <runnel/fiber/stack.hpp>

#include <string_view>

namespace runnel::inline RUNNEL_ABI::sched {

struct fiber;

/// run is called on the fiber; finished on the worker, once the fiber and its stack have been given back: it must
/// not wait, and may free the job.
struct job {
  void (*run)(job&) noexcept = nullptr;
  void (*finished)(job&) noexcept = nullptr;
};

/// A fiber with its stack, not started; starts the default runtime where none runs. Throws std::bad_alloc.
fiber* reserve_fiber(stack_class c, std::string_view name, const detail::site& at);
/// Makes it run `work`.
void start_fiber(fiber* f, job& work) noexcept;
/// What the calling fiber executes; null on a thread. Only to be compared.
const job* current_job() noexcept;
/// Gives back one that was never started.
void release_fiber(fiber* f) noexcept;

/// Fibers that were started and have not ended; those that a stop left behind are not counted.
std::size_t live_fibers() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
