// What the fork-join functions share: a scope that keeps the first failure and lets it act, and branches with their functions.
//
// Who may touch what: everything of the scope but its lock and `failed_` belongs to the owner, or stands still between enter and
// leave; error_ and the change of node_ are under the lock.
#pragma once

#include <runnel/detail/context_node.hpp>
#include <runnel/sched/fork_join.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI::detail {

class parallel_scope : public sched::fork_scope {
 public:
  /// Observes the caller's cancellation: throws canceled.
  explicit parallel_scope(const sched::fork_label& l) : fork_scope(l) {
    if (!sched::enter(*this) || (ambient && ambient->is_canceled())) [[unlikely]] look_whether_canceled();
  }
  parallel_scope(const parallel_scope&) = delete;
  parallel_scope& operator=(const parallel_scope&) = delete;
  ~parallel_scope() { sched::leave(*this); }

  bool failed() const noexcept {
    return failed_.load(shim::order::relaxed) != 0;  // relaxed: a hint what to skip; finish() comes after the joins
  }
  /// The exception that is being handled: kept when it is the first; cancels what runs of the others.
  void fail() noexcept;
  /// Ends a part early where the owner's context is canceled: false, and that is the failure.
  bool may_go_on() noexcept {
    if (failed()) return false;
    if (shields == 0 && ambient && ambient->is_canceled()) [[unlikely]] fail_canceled();
    return !failed();
  }
  /// After all joins: throws the first failure.
  void finish() {
    if (failed() || node_.load(shim::order::relaxed)) [[unlikely]] end();  // relaxed: it comes after the joins
  }

  /// `run` of a branch: under a context of the scope, on whatever fiber it is.
  template <class B>
  static void run_on_fiber(sched::job& j) noexcept {
    run_under_context(j, [](sched::branch& b) { static_cast<B&>(b).function(); });
  }
  /// Joins b, which was forked at `at`; calls its function, which the caller knows, here where nobody else has.
  template <class F>
  void join(sched::branch& b, const sched::fork_place& at, F& function) noexcept {
    if (!sched::join(b, at) || failed()) return;
    try {
      function();
    } catch (...) {
      fail();
    }
  }

 private:
  void look_whether_canceled();
  static void run_under_context(sched::job& j, void (*call)(sched::branch&)) noexcept;
  context_node* node_of_others();
  void fail_canceled() noexcept;
  void end();

  raw_lock lock_;
  shim::atomic<std::uint32_t> failed_{0};  ///< 1: one has; as wide as the lock, so that both are set at once
  std::exception_ptr error_;
  shim::atomic<context_node*> node_{nullptr};  ///< of branches that run elsewhere; made when the first does
};

/// A branch that calls `function()`: its own copy, or what F refers to.
template <class F>
struct calling_branch final : sched::branch {
  calling_branch(parallel_scope& s, F& f) noexcept : branch(s, &parallel_scope::run_on_fiber<calling_branch>), function(f) {}
  F function;
};

/// Runs b on a fiber of the runtime, and waits for it.
void run_elsewhere(sched::branch& b);

/// body(scope) on a fiber of the runtime: s is that of a thread.
template <class Body>
[[gnu::noinline]] void from_thread(parallel_scope& s, Body body) {
  auto again = [&] {
    parallel_scope inner(*s.label);
    body(inner);
    inner.finish();
  };
  calling_branch<decltype(again)&> b(s, again);
  run_elsewhere(b);
}

/// body(scope): on the caller, or, where that is no fiber, on one of the runtime, which has a scope of its own.
template <class Body>
[[gnu::always_inline]] inline void in_parallel_scope(const sched::fork_label& label, Body body) {
  parallel_scope s(label);
  if (!s.here.lane && sched::entered_by_thread(s)) [[unlikely]] {
    from_thread(s, body);
  } else {
    body(s);
  }
  s.finish();
}

}  // namespace runnel::inline RUNNEL_ABI::detail
