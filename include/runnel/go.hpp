// Tasks: start a function on a fiber of its own, wait for it, take its result.
//
// Use when: something should go on beside the caller and its result or end matters. For several tasks use a
// task_group; for a call that blocks its thread (files, DNS) use blocking().
// When not: fire and forget; go_detached is for the rare thing that really has no owner.
// Guarantees: the body always starts; a task never outlives its handle: ~task cancels and joins. What happens
// before go() happens before the body; the end of the body happens before get() and join() return.
// Blocking and cancellation: the body meets a cancellation at its first blocking call. get() and join() observe the
// caller's own context, and one given first, and leave the task joinable when that is canceled.
// Errors: get() rethrows the body's exception, or task_canceled when the task itself was canceled.
// Cost: one piece of memory a task, pooled by the workers, a stack from a pool; a page or two of it are touched.
#pragma once

#include <runnel/context.hpp>
#include <runnel/runtime.hpp>


namespace runnel::inline RUNNEL_ABI {

/// How a task is started.
struct task_options {
  std::string_view name = {};  ///< for reports; the first 31 bytes are kept
  stack_class stack = stack_class::standard;
};

/// The handle of a running task. Move-only; an empty one (moved from) throws misuse.
template <class R>
class [[nodiscard]] task {
 public:
  task() noexcept = default;
  task(task&& o) noexcept : core_(std::exchange(o.core_, nullptr)), taken_(std::exchange(o.taken_, false)) {}
  /// Cancels and joins the task that is overwritten.
  task& operator=(task&& o) noexcept {
    if (this == &o) return *this;
    end();
    core_ = std::exchange(o.core_, nullptr);
    taken_ = std::exchange(o.taken_, false);
    return *this;
  }
  /// Cancels the task and waits for it, shielded. An exception that nobody took goes to the unhandled hook, except
  /// during unwinding and for cancellations.
  RUNNEL_JOINS ~task() { end(); }

  /// The result, or the exception that ended the body; task_canceled when its cancellation did. Once.
  /// - blocks: until the body has ended
  /// - cancel: throws canceled when the caller is canceled; the task stays joinable
  /// - threads: any, one at a time
  RUNNEL_PARKS R get() { return joined_result(nullptr); }
  RUNNEL_PARKS R get(const context& ctx) { return joined_result(&detail::node_of(ctx)); }
  /// Waits for the end of the body; says nothing of how it ended.
  /// - blocks: until the body has ended
  /// - cancel: throws canceled when the caller is canceled; the task stays joinable
  /// - threads: any, one at a time
  RUNNEL_PARKS RUNNEL_JOINS void join() { core().join(nullptr); }
  RUNNEL_PARKS RUNNEL_JOINS void join(const context& ctx) { core().join(&detail::node_of(ctx)); }
  /// Whether the body has ended; false for an empty handle.
  bool done() const noexcept { return core_ && core_->done(); }
  /// Cancels the task's context. An empty handle does nothing.
  void cancel() noexcept {
    if (core_) core_->cancel(nullptr);
  }
  bool valid() const noexcept { return core_ != nullptr; }

  /// For select's on_join.
  detail::task_core* core_pointer() const noexcept { return core_; }

 private:
  template <class F>
  friend auto go(task_options, F&&, source_location) -> task<std::invoke_result_t<std::decay_t<F>&>>;

  explicit task(detail::task_result<R>* c) noexcept : core_(c) {}
  detail::task_result<R>& core() const {
    if (!core_) detail::throw_misuse("runnel::task: used after it was moved from");
    return *core_;
  }
  R joined_result(detail::context_node* extra) {
    auto& c = core();
    if (taken_) detail::throw_misuse("runnel::task::get: the result was taken before");
    c.join(extra);
    taken_ = true;
    c.rethrow();
    return c.take();
  }
  void end() noexcept {
    if (!core_) return;
    core_->cancel(nullptr);
    core_->join_shielded();
    core_->reset();
    core_->drop_error();
    core_->release_ref();
    core_ = nullptr;
  }

  detail::task_result<R>* core_ = nullptr;
  bool taken_ = false;
};

/// Runs f() on a fiber of its own, under a context of its own below the ambient one. Captures carry the arguments.
/// Throws std::bad_alloc, with f destroyed, when there is no memory for its stack.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
template <class F>
[[nodiscard("cancelled and joined at once: keep it, use a task_group, or go_detached")]] RUNNEL_SPAWNS auto go(
    task_options options, F&& f, source_location at = source_location::current())
    -> task<std::invoke_result_t<std::decay_t<F>&>> {
  using R = std::invoke_result_t<std::decay_t<F>&>;
  auto core = detail::ref_ptr<detail::task_frame<R, std::decay_t<F>>>::adopt(
      new detail::task_frame<R, std::decay_t<F>>(detail::ambient(), std::forward<F>(f)));
  core->start({options.stack, options.name, at});
  return task<R>(core.detach());
}
template <class F>
[[nodiscard("cancelled and joined at once: keep it, use a task_group, or go_detached")]] RUNNEL_SPAWNS auto go(
    F&& f, source_location at = source_location::current()) -> task<std::invoke_result_t<std::decay_t<F>&>> {
  return go(task_options{}, std::forward<F>(f), at);
}

/// Runs f() on a fiber that nobody owns: it keeps the ambient values, is canceled when the last run() ends, and is
/// named by the leak report. An exception that leaves it goes to the unhandled hook; without one the process ends.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
template <class F>
RUNNEL_SPAWNS void go_detached(task_options options, F&& f, source_location at = source_location::current()) {
  auto call = [g = std::forward<F>(f)]() mutable { static_cast<void>(g()); };
  auto core = detail::ref_ptr<detail::task_frame<void, decltype(call)>>::adopt(
      new detail::task_frame<void, decltype(call)>(detail::detached_parents(), std::move(call)));
  core->start({options.stack, options.name, at}, detail::escape::terminate);
}
template <class F>
RUNNEL_SPAWNS void go_detached(F&& f, source_location at = source_location::current()) {
  go_detached(task_options{}, std::forward<F>(f), at);
}

/// Lets other runnable fibers go first; looks at timers and other sources too.
/// - blocks: for one turn of the others
/// - cancel: throws canceled
/// - threads: any
RUNNEL_PARKS void yield();

/// Questions about the caller.
namespace this_fiber {

/// Which fiber; 0 for a thread.
using id = std::uint64_t;
id get_id() noexcept;
/// Names the calling fiber in reports; the first 31 bytes are kept.
void set_name(std::string_view name) noexcept;
bool in_fiber() noexcept;
/// For long loops: throws `canceled` when the ambient context is canceled, and yields when the turn is used up.
/// - blocks: at times, for one turn of the others
/// - cancel: throws canceled
/// - threads: any
RUNNEL_PARKS void checkpoint();

}  // namespace this_fiber

namespace detail {
/// A call on the blocking pool; lives in the caller's frame.
class blocking_call {
 public:
  blocking_call() noexcept = default;
  blocking_call(const blocking_call&) = delete;
  blocking_call& operator=(const blocking_call&) = delete;
  virtual void invoke() noexcept = 0;
  virtual void request_stop() noexcept = 0;

 protected:
  ~blocking_call() = default;
};
/// Throws canceled when the call was canceled before it began.
void run_blocking(blocking_call& c, context_node* extra);

template <class F, class R>
class blocking_frame final : public blocking_call {
 public:
  /// Throws std::bad_alloc where f takes a token.
  explicit blocking_frame(F& f) : f_(f) {}
  void invoke() noexcept override {
    try {
      if constexpr (std::is_void_v<R>) {
        call();
      } else if constexpr (std::is_reference_v<R>) {
        result_ = std::addressof(call());
      } else {
        result_.emplace(call());
      }
    } catch (...) {
      error_ = std::current_exception();
    }
  }
  void request_stop() noexcept override { stop_.request_stop(); }
  R take() {
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    if constexpr (std::is_reference_v<R>) {
      return *result_;
    } else if constexpr (!std::is_void_v<R>) {
      return std::move(*result_);
    }
  }

 private:
  decltype(auto) call() {
    if constexpr (takes_token) {
      return f_(stop_.get_token());
    } else {
      return f_();
    }
  }
  static constexpr bool takes_token = std::is_invocable_v<F&, std::stop_token>;
  static std::stop_source make_stop() {
    if constexpr (takes_token) {
      return std::stop_source();
    } else {
      return std::stop_source(std::nostopstate);
    }
  }
  struct nothing {};
  using stored = std::conditional_t<std::is_void_v<R>, nothing,
                                    std::conditional_t<std::is_reference_v<R>, std::remove_reference_t<R>*,
                                                       std::optional<std::conditional_t<std::is_void_v<R>, int, R>>>>;
  F& f_;
  std::stop_source stop_ = make_stop();
  stored result_{};
  std::exception_ptr error_;
};

template <class F>
decltype(auto) call_blocking(F& f, context_node* extra) {
  using R = typename std::conditional_t<std::is_invocable_v<F&, std::stop_token>,
                                        std::invoke_result<F&, std::stop_token>, std::invoke_result<F&>>::type;
  blocking_frame<F, R> frame(f);
  run_blocking(frame, extra);
  return frame.take();
}
}  // namespace detail

/// Calls f (which may take a std::stop_token) on a thread of the blocking pool while the caller waits; returns its
/// result or throws its exception. The pool has up to 512 threads, as many as there are calls in flight.
/// - blocks: until f has returned
/// - cancel: while queued throws canceled, f does not run; while running requests stop and waits for f
/// - threads: any
template <class F>
RUNNEL_PARKS RUNNEL_BLOCKING decltype(auto) blocking(F&& f) {
  return detail::call_blocking(f, nullptr);
}
/// The same, observing ctx and the ambient context.
/// - blocks: until f has returned
/// - cancel: while queued throws canceled, f does not run; while running requests stop and waits for f
/// - threads: any
template <class F>
RUNNEL_PARKS RUNNEL_BLOCKING decltype(auto) blocking(const context& ctx, F&& f) {
  return detail::call_blocking(f, &detail::node_of(ctx));
}

}  // namespace runnel::inline RUNNEL_ABI
