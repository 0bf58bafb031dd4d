// Starting and observing the runtime.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/base/clock.hpp>
#include <runnel/detail/task_core.hpp>
#include <runnel/error.hpp>

#include <functional>
#include <string_view>
#include <vector>

namespace runnel::inline RUNNEL_ABI {

/// How run() runs.
struct run_options {
  /// Threads that run fibers, 1 to 256; 0: RUNNEL_WORKERS from the environment, else what CPU affinity and the cgroup's
  /// quota allow.
  unsigned workers = 0;
  /// Signals that cancel the root; the second of them takes its default action.
  std::vector<int> signals = {};
  /// Called on run()'s thread with a report of every fiber when nothing can ever run again; what it throws leaves
  /// run(). When it returns, or none is given, the report is printed and the process ends.
  std::function<void(std::string_view report)> on_deadlock = {};
  /// How long to wait after the root's end for what does not belong to it.
  duration grace = std::chrono::seconds(5);
  /// A fiber that keeps its worker for longer than this without yielding is reported on stderr.
  duration hog_limit = std::chrono::seconds(1);
};

namespace detail {
/// The root's task; main_fn's int, or 0.
int run_root(const run_options& o, task_core* root, int& result, site at);
}  // namespace detail

/// Runs main_fn as the root fiber and waits for it and for what it started. Tasks that do not belong to the root are
/// canceled when the last run() ends, waited for during `grace`, then reported and left.
/// Returns main_fn's int, 0 for void, 128 + the number of the signal that ended the root; rethrows the root's exception.
/// Errors: misuse inside a fiber, or when the runtime runs with another number of workers.
/// - blocks: until the root and its tasks have ended
/// - cancel: ignores
/// - threads: any that is not a worker; several at once share the workers
template <class F>
RUNNEL_PARKS int run(const run_options& options, F&& main_fn, source_location at = source_location::current()) {
  using R = std::invoke_result_t<std::decay_t<F>&>;
  static_assert(std::is_void_v<R> || std::is_convertible_v<R, int>, "runnel::run: main_fn returns int or void");
  int result = 0;
  auto body = [&result, f = std::forward<F>(main_fn)]() mutable {
    if constexpr (std::is_void_v<R>) {
      f();
      result = 0;
    } else {
      result = static_cast<int>(f());
    }
  };
  auto* root = new detail::task_frame<void, decltype(body)>(detail::ambient(), std::move(body));
  return detail::run_root(options, root, result, at);
}
template <class F>
RUNNEL_PARKS int run(F&& main_fn, source_location at = source_location::current()) {
  return run(run_options{}, std::forward<F>(main_fn), at);
}

/// What the runtime counts; a snapshot that may be a moment behind.
struct runtime_stats {
  unsigned workers = 0;             ///< 0 while it does not run
  std::size_t live_fibers = 0;      ///< started and not ended
  std::size_t parked = 0;           ///< fibers and threads blocked in an operation of the library that nobody has ended
  std::size_t armed_timers = 0;
  std::int64_t registered_waits = 0;  ///< waiters in queues; counted in checked builds
  std::size_t blocking_threads = 0;
  std::uint64_t kernel_wakes = 0;   ///< futex wakes and poller kicks since the process started
  std::uint64_t steals = 0;         ///< since the runtime started
};
/// - blocks: never
/// - cancel: ignores
/// - threads: any
runtime_stats stats() noexcept;

/// Whose exception it was.
struct fiber_info {
  std::uint64_t id = 0;
  std::string_view name;
  const char* file = "";
  unsigned line = 0;
};
/// Receives exceptions that leave detached fibers and those of dropped tasks; null restores the default (a detached
/// fiber's ends the process, a dropped task's is reported once). Returns the previous hook.
using unhandled_hook = void (*)(std::exception_ptr, fiber_info) noexcept;
unhandled_hook set_unhandled_hook(unhandled_hook hook) noexcept;

}  // namespace runnel::inline RUNNEL_ABI
