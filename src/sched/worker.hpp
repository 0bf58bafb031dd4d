// A worker: one thread that runs fibers. Its work flows through find_work() -> execute(); while there is more in its own
// queue, a fiber that parks or yields switches to the next one directly.
#pragma once

#include "base/last_errno.hpp"
#include "sched/branch_list.hpp"
#include "sched/fiber_pool.hpp"
#include "sched/frame_cache.hpp"
#include "sched/run_queue.hpp"
#include "sched/spawn_deque.hpp"

#include <runnel/sched/attachment.hpp>

namespace runnel::inline RUNNEL_ABI::sched {

class runtime;

/// What the worker does with a fiber that has just left its stack.
enum class afterwards : std::uint8_t { nothing, requeue, recycle };

/// libstdc++'s and libc++abi's record of a thread's exceptions (Itanium C++ ABI, 2.2.2).
struct exception_state {
  void* caught = nullptr;
  unsigned uncaught = 0;
};
/// What a fiber takes along from thread to thread.
struct carried {
  exception_state exceptions;
  int error = 0;
};

class worker {
 public:
  static constexpr std::uint32_t fairness_interval = 61;  ///< dispatches between looks at the shared sources
  static constexpr std::uint32_t next_in_a_row = 3;       ///< run-next dispatches before the others have their turn
  static constexpr std::uint64_t most_stolen = spawn_deque::capacity / 4;  ///< of one victim's new fibers at a time
  static constexpr std::uint32_t new_in_a_row = 4 * run_queue::capacity;  ///< new fibers before the ring has its turn

  /// shared: there are others, which steal.
  worker(runtime& owner, unsigned index, bool shared = true) noexcept
      : queue(shared), spawned(shared), lane(shared), runtime_(owner), index_(index) {}

  /// The thread's body: runs fibers until the runtime stops.
  void main() noexcept;

  // On this worker's thread.
  void push_next(fiber* f) noexcept;  ///< f runs next here; who stood there goes to the tail
  void push_tail(fiber* f) noexcept;
  void push_new(fiber* f) noexcept;  ///< f has not begun yet; the newest begins first
  void push_branch(branch& b) noexcept;  ///< of the running fiber
  /// Leaves the running fiber's stack for the next fiber or the loop; returns when the fiber is resumed, perhaps elsewhere.
  static void leave(fiber& f, afterwards what) noexcept;

  // From any thread.
  fiber* running() const noexcept {
    return running_.load(shim::order::relaxed);  // relaxed: own value on this thread, a hint for the monitor
  }
  std::uint32_t ticks() const noexcept {
    return ticks_.load(shim::order::relaxed);  // relaxed: a hint for the monitor
  }
  std::uint64_t steals() const noexcept {
    return steals_.load(shim::order::relaxed);  // relaxed: a statistic
  }
  bool in_the_poller() const noexcept {
    return word_.load(shim::order::relaxed) == in_poller;  // relaxed: a preference of the one who wakes
  }
  /// Whether a stop has given this worker up: nobody looks at its queue.
  bool left_to_its_fiber() const noexcept {
    return ended_.load(shim::order::relaxed) == left_behind;  // relaxed: own thread, after the stop that matters
  }
  /// The same, by its own thread.
  void give_up() noexcept {
    ended_.store(left_behind, shim::order::relaxed);  // relaxed: in a forked child, which has no other thread
  }
  /// Waits for the end of main(). False: the deadline came first; main() then ends after the fiber that it runs. While it
  /// runs none, the deadline is put off by `extension`: it only had too little of the processor.
  bool wait_ended(time_point deadline, std::chrono::nanoseconds extension = {}) noexcept;
  /// Ends this worker's sleep, or the next one. Only for one that was taken from the idle set.
  void wake() noexcept;
  unsigned index() const noexcept { return index_; }
  void arrived(detail::sanitizer::context& self, const carried& state) noexcept;

  // Own thread.
  /// Null: nowhere.
  void reads_at(const read_depth* d) noexcept { read_depth_ = d ? d : &no_sections; }
  bool in_read_section() const noexcept { return read_depth_->sections != 0; }
  /// Own thread: whether the running fiber unwinds.
  bool unwinding() const noexcept { return exceptions_->uncaught > 0; }

  run_queue queue;
  spawn_deque spawned;
  branch_lane lane;  ///< of the running fiber: see fork_join.cpp
  fiber_cache fibers;  ///< own thread
  frame_cache frames;  ///< own thread

  // Under the idle set's lock.
  worker* next_idle = nullptr;
  bool idle = false;

  bool searching = false;  ///< own thread, and the waker before wake()

  // For the monitor, on its thread.
  std::uint32_t seen_ticks = 0;
  std::chrono::nanoseconds kept{};
  bool reported = false;

 private:
  fiber* find_work() noexcept;
  fiber* next_local() noexcept;
  [[gnu::noinline]] void push_into_full(fiber* f) noexcept;
  fiber* next_new() noexcept;
  fiber* steal() noexcept;
  fiber* steal_new(worker& victim) noexcept;
  fiber* steal_branch(worker& victim) noexcept;
  void begin_branch(branch& b) noexcept;
  void begin_listed() noexcept;
  [[gnu::noinline]] void leave_lane() noexcept;
  [[gnu::noinline]] void withdraw_branches() noexcept;
  fiber* found(fiber* f) noexcept;
  void poll_shared() noexcept;
  bool go_idle() noexcept;
  void sleep() noexcept;
  void execute(fiber* f) noexcept;
  fiber* successor() noexcept;
  bool yields_to_own_queue() const noexcept;
  void takes_up(fiber& f) noexcept;

  // The sleep word: awake, notified (a wake-up is pending), asleep in the futex, asleep in the poller.
  static constexpr std::uint32_t awake = 0, notified = 1, in_futex = 2, in_poller = 3;

  static constexpr std::uint32_t ended = 1, left_behind = 2;

  static constexpr read_depth no_sections{};

  runtime& runtime_;
  const unsigned index_;
  const read_depth* read_depth_ = &no_sections;
  void* loop_sp_ = nullptr;
  detail::sanitizer::context sanitizer_;
  bool from_loop_ = true;  ///< the last switch left the loop's stack
  exception_state* exceptions_ = nullptr;  ///< this thread's __cxa_eh_globals
  int* errno_ = nullptr;
  afterwards afterwards_ = afterwards::nothing;
  std::uint32_t next_run_ = 0;
  std::uint32_t new_run_ = 0;
  shim::atomic<fiber*> running_{nullptr};
  shim::atomic<std::uint32_t> ticks_{0};
  shim::atomic<std::uint64_t> steals_{0};
  shim::atomic<std::uint32_t> word_{awake};
  shim::atomic<std::uint32_t> ended_{0};
};

/// The worker whose thread this is, or null. Never inlined: see this_agent().
[[gnu::noinline]] worker* this_worker() noexcept;
/// The same, but null also where a stop has left the worker to its fiber: another one may have its number by now.
worker* counting_worker() noexcept;
void set_this_worker(worker* w) noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
