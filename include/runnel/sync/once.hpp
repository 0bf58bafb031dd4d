// Runs a function once, however many fibers and threads ask for it; all return when it has been run.
//
// Use when: something is set up at its first use. For a value, `lazy` holds it too; for a static, C++ has its own.
// Guarantees: call() returns after a call of the function has returned, and what that did happens before. An exception
// goes to the caller whose function threw it, and the next caller runs its own: as std::call_once.
// Blocking and cancellation: who comes while the function runs waits and ignores cancellation; the function itself runs in
// its caller's context, and a cancellation that leaves it is an exception like any other.
// Errors: a function that calls the same once throws misuse; destroying it while the function runs ends the process with a
// message; outside of fibers it is only told.
// Cost: 56 bytes; one acquire load once it is done.
// Source: Go's sync.Once, with the rule of std::call_once for exceptions.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/detail/once_core.hpp>

#include <utility>

namespace runnel::inline RUNNEL_ABI {

class once {
 public:
  once() noexcept = default;
  once(const once&) = delete;
  once& operator=(const once&) = delete;

  /// Runs f() unless some call of this once has succeeded; an exception of f leaves this call alone.
  /// - blocks: while another caller's function runs
  /// - cancel: ignores
  /// - threads: any
  template <class F>
  RUNNEL_PARKS void call(F&& f) {
    sched::choice_point(sched::operation::wait, this);
    if (core_.done() || !core_.begin(sched::wait_reason::once)) return;
    detail::once_run run(core_);
    static_cast<void>(std::forward<F>(f)());
    run.succeeded();
  }
  /// Whether a call has succeeded.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool done() const noexcept {
    sched::choice_point(sched::operation::look, this);
    return core_.done();
  }

 private:
  detail::once_core core_;
};

}  // namespace runnel::inline RUNNEL_ABI
