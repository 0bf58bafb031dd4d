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
  explicit parallel_scope(std::string_view name, const site& at);
  parallel_scope(const parallel_scope&) = delete;
  parallel_scope& operator=(const parallel_scope&) = delete;
  ~parallel_scope() { sched::leave(*this); }

  bool failed() const noexcept {
    return failed_.load(shim::order::relaxed);  // relaxed: a hint what to skip; finish() comes after the joins
  }
  /// The exception that is being handled: kept when it is the first; cancels what runs of the others.
  void fail() noexcept;
  /// Ends a part early where the owner's context is canceled: false, and that is the failure.
  bool may_go_on() noexcept {
    if (failed()) return false;
    if (!shielded && ambient && ambient->is_canceled()) [[unlikely]] fail_canceled();
    return !failed();
  }
  /// After all joins: throws the first failure.
  void finish() {
    if (failed() || node_.load(shim::order::relaxed)) [[unlikely]] end();  // relaxed: it comes after the joins
  }

  /// `run` of a branch: under a context of the scope, on whatever fiber it is.
  template <class B>
  static void run_on_fiber(sched::job& j) noexcept {
    run_under_context(j, [](sched::branch& b) { static_cast<B&>(b).call(); });
  }
  /// Joins b, and runs it here where nobody else has.
  template <class B>
  void join(B& b) noexcept {
    if (!sched::join(b) || failed()) return;
    try {
      b.call();
    } catch (...) {
      fail();
    }
  }

 private:
  static void run_under_context(sched::job& j, void (*call)(sched::branch&)) noexcept;
  context_node* node_of_others();
  void fail_canceled() noexcept;
  void end();

  raw_lock lock_;
  shim::atomic<bool> failed_{false};
  std::exception_ptr error_;
  shim::atomic<context_node*> node_{nullptr};  ///< of branches that run elsewhere; made when the first does
};

/// A branch that calls `function()`.
template <class F>
struct calling_branch final : sched::branch {
  calling_branch(parallel_scope& s, F& f) noexcept : branch(s, &parallel_scope::run_on_fiber<calling_branch>), function(f) {}
  void call() { function(); }
  F& function;
};

/// Runs b on a fiber of the runtime, and waits for it.
void run_elsewhere(sched::branch& b);

/// body(scope): on the caller, or, where that is no fiber, on one of the runtime, which has a scope of its own.
template <class Body>
void in_parallel_scope(std::string_view name, const site& at, Body body) {
  parallel_scope s(name, at);
  if (!s.on_thread) {
    body(s);
  } else {
    auto again = [&] { in_parallel_scope(name, at, std::ref(body)); };
    calling_branch<decltype(again)> b(s, again);
    run_elsewhere(b);
  }
  s.finish();
}

}  // namespace runnel::inline RUNNEL_ABI::detail
