// The runtime: the workers and the queue they share. One per process, started by the first run() or the first
// operation that needs it, stopped with the last run() or at exit; its memory is never given back.
#pragma once

#include "sched/idle_set.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <thread>

namespace runnel::inline RUNNEL_ABI::sched {

class runtime {
 public:
  static constexpr unsigned max_workers = 256;

  static runtime& instance() noexcept;

  /// Adds a user. Starts the workers for the first one: `workers` of them, 0 for automatic. Throws misuse when it
  /// already runs with another number, std::system_error when a thread cannot be started.
  void enter(unsigned workers);
  /// Removes a user; the last one stops the workers.
  void leave() noexcept;
  /// The caller is about to leave(). True: no other user goes on; it ends what belongs to nobody first.
  bool begin_leave() noexcept;
  /// Makes sure that it runs: starts the default runtime, which lives until exit.
  void ensure_started();
  /// Whether the destructors of static objects older than the first start run, or are about to.
  bool process_ends() const noexcept {
    return process_ends_.load(shim::order::relaxed);  // relaxed: set on the thread that runs them
  }
  bool running() const noexcept {
    return running_.load(shim::order::acquire);  // acquire: pairs with start(), the workers exist
  }

  /// In a forked child: whether it ran, or was about to. Then it is as if it had stopped, for good.
  bool lost_in_fork() noexcept;

  /// Makes f runnable: next on the calling worker, or through the shared queue.
  void schedule(fiber* f) noexcept;
  /// The same for one that has not begun yet; `here` is the caller's counting_worker().
  void schedule_new(fiber* f, worker* here) noexcept;
  /// The same without jumping the queue; for many at once.
  void schedule_last(fiber* f) noexcept;

  // The shared queue.
  void inject(fiber* first, fiber* last, std::size_t count) noexcept;
  /// Moves the oldest to the tail of the worker's ring, as far as there is room; whether there were any.
  bool refill(worker& into) noexcept;
  bool injected() const noexcept {
    return injected_count_.load(shim::order::relaxed) != 0;  // relaxed: a hint; idle workers look behind a fence
  }

  /// Whether anything could be taken by a worker now; the last look before sleeping.
  bool work_visible() noexcept;
  bool stopping() const noexcept {
    return stopping_.load(shim::order::acquire);  // acquire: pairs with stop()
  }

  // Threads in an operation of the library, for reports and the search for deadlocks. relaxed: they publish nothing; the
  // monitor compares them with the kernel's count and then looks at everything else once more.
  /// One blocks; `limited`: at most until a time limit.
  void thread_parks(bool limited) noexcept {
    if (limited) limited_threads_.fetch_add(1, shim::order::relaxed);  // relaxed: see above; before it counts as blocked
    parked_threads_.fetch_add(1, shim::order::relaxed);               // relaxed: see above
  }
  /// Somebody, or its time limit, has ended the wait of one: it goes on as soon as the kernel lets it.
  void thread_is_woken() noexcept {
    woken_threads_.fetch_add(1, shim::order::relaxed);   // relaxed: see above
    parked_threads_.fetch_sub(1, shim::order::relaxed);  // relaxed: see above
  }
  void thread_goes_on(bool limited) noexcept {
    if (limited) limited_threads_.fetch_sub(1, shim::order::relaxed);  // relaxed: see above
    woken_threads_.fetch_sub(1, shim::order::relaxed);                 // relaxed: see above
  }
  /// Those that are blocked. One may be woken before it is counted here.
  std::int32_t parked_threads() const noexcept {
    return std::max(0, parked_threads_.load(shim::order::relaxed));  // relaxed: see above
  }
  /// Those that will go on whatever the fibers do.
  std::int32_t coming_threads() const noexcept {
    return limited_threads_.load(shim::order::relaxed) + woken_threads_.load(shim::order::relaxed);  // relaxed: see above
  }

  /// Steals so far; 0 while it starts or stops.
  std::uint64_t steals() noexcept;
  unsigned workers() const noexcept { return count_; }
  /// i < workers(). None is given back while a worker or the monitor runs.
  worker& at(unsigned i) noexcept { return *workers_[i]; }

  idle_set idle;
  branch_list listed;

 private:
  runtime() noexcept = default;
  void start(unsigned workers);
  void stop() noexcept;
  void end_workers() noexcept;
  void drop_queues() noexcept;

  detail::raw_lock lifecycle_;
  unsigned users_ = 0;
  unsigned staying_ = 0;  ///< users that have not begun to leave
  bool default_user_ = false;
  bool ended_ = false;
  shim::atomic<bool> process_ends_{false};
  shim::atomic<bool> running_{false};
  shim::atomic<bool> stopping_{false};

  // On a line of their own: workers read what stands around them at each switch.
  alignas(64) shim::atomic<std::int32_t> parked_threads_{0};
  shim::atomic<std::int32_t> limited_threads_{0};
  shim::atomic<std::int32_t> woken_threads_{0};
  alignas(64) unsigned count_ = 0;
  std::array<worker*, max_workers> workers_{};
  std::array<std::thread, max_workers> threads_{};

  detail::raw_lock injection_;
  fiber* injected_first_ = nullptr;
  fiber* injected_last_ = nullptr;
  shim::atomic<std::size_t> injected_count_{0};
};

/// Workers to start when nobody says: RUNNEL_WORKERS, else what affinity and the cgroup quota allow.
unsigned automatic_width();
/// For so many processors and a quota in CPUs, 0 for none.
unsigned workers_for(unsigned processors, double quota);
/// The smallest quota on the way from the process's cgroup to the root of the hierarchy, in CPUs; 0: none. Versions 1 and
/// 2, as found in `root`/proc and `root`/sys.
double cpu_quota(const std::string& root);

}  // namespace runnel::inline RUNNEL_ABI::sched
