// Task groups: several tasks that start, fail and end together.
//
// Use when: work is split into parts whose errors and ends belong together. The taught form is
//   with_task_group([&](task_group& g) { for (auto& p : parts) g.go([&] { work(p); }); });
// The tasks are joined after the body has returned: what they refer to must be declared before the group, not in its
// body.
// Guarantees: no task outlives the group. The first failure cancels the siblings and is what wait() rethrows. What
// happened before go() happens before the task; the task's end before wait() returns. At a limit of 1 what a task did
// happens before the next one.
// Thread-safety: go, try_go, cancel from any fiber or thread, the group's own tasks too; wait from one at a time.
// Blocking and cancellation: go blocks at the limit, wait until all have ended. The group's context is below the
// parent's (the ambient one unless given) and is canceled by a failure, cancel(), and once wait() has returned.
// Errors: wait() rethrows; misuse for a limit of 0, and for a wait by a task of the group, which would wait for itself;
// one that destroys its group ends the process. An error that nobody took goes to the unhandled hook at destruction.
// Cost: one piece of memory a task, pooled by the workers; a compare-exchange for its start and one for its end, unless
// somebody waits for its slot or it is the last one that is waited for.
// Source: Go's errgroup (golang.org/x/sync/errgroup), Trio's nurseries.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/context.hpp>
#include <runnel/detail/joined_scope.hpp>
#include <runnel/runtime.hpp>
#include <runnel/sched/frame.hpp>

#include <string>
#include <vector>

namespace runnel::inline RUNNEL_ABI {

/// What the failure of a task does to the others.
enum class failure_policy : std::uint8_t {
  cancel_siblings,  ///< cancels them; wait() rethrows this first failure
  collect_all,      ///< lets them go on; wait() throws task_group_error with all failures
};

struct task_group_options {
  static constexpr std::size_t unlimited = ~std::size_t{0};
  std::size_t limit = unlimited;  ///< tasks at the same time, at least 1
  failure_policy on_failure = failure_policy::cancel_siblings;
  std::string_view name = {};  ///< names the tasks in reports
};

/// All failures of a group that collects them, in the order in which the tasks were started.
class task_group_error : public std::exception {
 public:
  explicit task_group_error(std::vector<std::exception_ptr> errors);
  const char* what() const noexcept override { return what_.c_str(); }
  const std::vector<std::exception_ptr>& errors() const noexcept { return errors_; }

 private:
  std::vector<std::exception_ptr> errors_;
  std::string what_;
};

class task_group;

namespace detail {

/// Whether the caller runs in a task of the group: to wait for the group would be to wait for itself.
bool runs_in_task_of(const task_group& g) noexcept;

/// One task of a group, with its callable in a derived class. A failed one is kept, as the record of its failure.
struct group_child : sched::job, sched::pooled {
  explicit group_child(void (*c)(group_child&)) noexcept : call(c) {}
  virtual ~group_child() = default;
  void (*const call)(group_child&);  ///< runs the callable and destroys it
  task_group* group = nullptr;
  std::uint64_t number = 0;  ///< in the order of the starts, where failures are collected
  std::exception_ptr error;
  group_child* next_failed = nullptr;
};

template <class F>
struct group_frame;

}  // namespace detail

/// The group itself, for members and for bodies; pinned.
class task_group {
 public:
  /// Below the ambient context.
  explicit task_group(task_group_options options = {});
  explicit task_group(const context& parent, task_group_options options = {});
  task_group(const task_group&) = delete;
  task_group& operator=(const task_group&) = delete;
  /// Cancels the group and joins its tasks, shielded.
  RUNNEL_JOINS ~task_group();

  /// Runs f(), or f(context), on a fiber under the group's context. Never throws because the group has failed: the task
  /// then starts in the canceled context. Throws std::bad_alloc without memory for its stack.
  /// - blocks: while the group is at its limit
  /// - cancel: throws canceled while it waits for a slot, when the caller is canceled by somebody else than this group
  /// - threads: any
  template <class F>
  RUNNEL_PARKS RUNNEL_SCOPED_SPAWN void go(F&& f, source_location at = source_location::current()) {
    acquire_slot(nullptr);
    start(make(std::forward<F>(f)), at);
  }
  /// The same; the wait for a slot observes ctx too. The task does not: it runs under the group's context.
  /// - blocks: while the group is at its limit
  /// - cancel: as go(f)
  /// - threads: any
  template <class F>
  RUNNEL_PARKS RUNNEL_SCOPED_SPAWN void go(const context& ctx, F&& f, source_location at = source_location::current()) {
    acquire_slot(&detail::node_of(ctx));
    start(make(std::forward<F>(f)), at);
  }
  /// The same without waiting; false, and f is not run, when the group is at its limit, has failed or was canceled.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  template <class F>
  RUNNEL_SCOPED_SPAWN bool try_go(F&& f, source_location at = source_location::current()) {
    if (node_->is_canceled() || !try_acquire_slot()) return false;
    start(make(std::forward<F>(f)), at);
    return true;
  }

  /// Waits for all tasks, then cancels the group's context and rethrows the first failure (or task_group_error). The
  /// failure is kept: every later wait() rethrows it. Tasks may be started again after it.
  /// - blocks: until no task is left
  /// - cancel: cancels the group, waits for its tasks, throws canceled
  /// - threads: any, one at a time, but a task of the group, for which it throws misuse
  RUNNEL_PARKS RUNNEL_JOINS void wait() { static_cast<void>(wait_until(never, nullptr)); }
  RUNNEL_PARKS RUNNEL_JOINS void wait(const context& ctx) {
    static_cast<void>(wait_until(never, &detail::node_of(ctx)));
  }
  /// The same for at most `limit`; false when tasks are left, and nothing has changed then.
  /// - blocks: at most for the limit
  /// - cancel: as wait()
  /// - threads: as wait()
  RUNNEL_PARKS bool wait_for(duration limit) { return wait_until(limit.from_now(), nullptr); }

  /// Cancels the context of the group and so all its tasks; no failure by itself.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void cancel() noexcept { node_->cancel(nullptr); }
  context get_context() const noexcept { return detail::wrap(node_); }

 private:
  template <class F>
  friend struct detail::group_frame;
  friend bool detail::runs_in_task_of(const task_group&) noexcept;
  template <class F>
  friend void with_task_group(task_group_options, F&&);

  template <class F>
  detail::group_child* make(F&& f) {
    try {
      return new detail::group_frame<std::decay_t<F>>(std::forward<F>(f));
    } catch (...) {
      release_slot();
      throw;
    }
  }
  void acquire_slot(detail::context_node* extra);
  bool try_acquire_slot() noexcept;
  bool acquire_slot_or_ask() noexcept;
  void release_slot() noexcept;
  void release_slot_to_waiters() noexcept;
  void start(detail::group_child* c, const detail::site& at);
  bool any_left_to_join() noexcept;
  bool wait_until(time_point deadline, detail::context_node* extra);
  bool join(time_point deadline, detail::context_node* extra);
  void join_shielded() noexcept;
  void finish();
  void fail_body(std::exception_ptr e) noexcept;
  void record(detail::group_child& c) noexcept;
  static void run_on_fiber(sched::job& j) noexcept;
  static void after_fiber(sched::job& j) noexcept;

  const task_group_options options_;
  const std::string name_;
  detail::ref_ptr<detail::context_node> node_;
  sched::wait_object object_;
  shim::atomic<std::uint64_t> word_{0};  ///< see task_group.cpp
  shim::atomic<std::uint64_t> started_{0};
  // Under object_.lock.
  sched::wait_queue slot_waiters_;
  sched::wait_queue joiners_;
  detail::group_child* failed_ = nullptr;  ///< the newest first
  std::exception_ptr body_error_;              ///< of with_task_group's body
  std::exception_ptr first_error_;
  bool taken_ = false;
};

namespace detail {

template <class F>
struct group_frame final : group_child {
  template <class G>
  explicit group_frame(G&& g) : group_child(&run), function(std::forward<G>(g)) {}
  static void run(group_child& c) {
    auto& self = static_cast<group_frame&>(c);
    struct destroy {
      std::optional<F>& f;
      ~destroy() { f.reset(); }
    } at_end{self.function};
    if constexpr (std::is_invocable_v<F&>) {
      static_cast<void>((*self.function)());
    } else {
      static_cast<void>((*self.function)(wrap(self.group->node_)));
    }
  }
  std::optional<F> function;
};

}  // namespace detail

/// Runs body(group) under the group's context, waits for the tasks, and rethrows the first failure of body and tasks.
/// - blocks: until body and all tasks have ended
/// - cancel: cancels the group, waits for its tasks, throws canceled
/// - threads: any
template <class F>
RUNNEL_PARKS RUNNEL_JOINS void with_task_group(task_group_options options, F&& body) {
  task_group group(options);
  try {
    const context_scope ambient(group.get_context());
    std::forward<F>(body)(group);
  } catch (...) {
    group.fail_body(std::current_exception());
  }
  group.wait();
}
template <class F>
RUNNEL_PARKS RUNNEL_JOINS void with_task_group(F&& body) {
  with_task_group(task_group_options{}, std::forward<F>(body));
}
/// The same, observing ctx and the ambient context: the group's context is below one that ends with either.
/// - blocks: until body and all tasks have ended
/// - cancel: cancels the group, waits for its tasks, throws canceled
/// - threads: any
template <class F>
RUNNEL_PARKS RUNNEL_JOINS void with_task_group(const context& ctx, task_group_options options, F&& body) {
  const detail::joined_scope both(ctx);
  with_task_group(options, std::forward<F>(body));
}
template <class F>
RUNNEL_PARKS RUNNEL_JOINS void with_task_group(const context& ctx, F&& body) {
  with_task_group(ctx, task_group_options{}, std::forward<F>(body));
}

}  // namespace runnel::inline RUNNEL_ABI
