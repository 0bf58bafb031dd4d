// What once, lazy and single_flight share: one of the callers runs, the others wait. Its protocol stands in src/sync/once.cpp.
#pragma once

#include <runnel/context.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

class once_core {
 public:
  once_core() noexcept = default;
  once_core(const once_core&) = delete;
  once_core& operator=(const once_core&) = delete;
  ~once_core();

  /// True: a run was the last, and what it did happens before this.
  bool done() const noexcept {
    if (!done_.load(shim::order::acquire)) return false;  // acquire: pairs with the release in finish()
    sched::announced_acquire(done_.address());
    return true;
  }
  /// Waits until it is done (false) or the caller has to run (true), who then calls finish(). Observes the cancellation of
  /// the caller but for the reason `once`.
  bool begin(sched::wait_reason reason);
  /// `last`: it is done. Else the next one who waits, or comes, runs.
  void finish(bool last) noexcept;

 private:
  shim::atomic<bool> done_{false};
  bool running_ = false;                 ///< under object_.lock, as what follows
  const sched::agent* runner_ = nullptr;  ///< only compared
  sched::wait_object object_;
  sched::wait_queue waiters_;
};

/// A run: fails unless it is said to have succeeded.
class once_run {
 public:
  explicit once_run(once_core& c) noexcept : core_(c) {}
  once_run(const once_run&) = delete;
  once_run& operator=(const once_run&) = delete;
  ~once_run() { core_.finish(last_); }
  void succeeded() noexcept { last_ = true; }

 private:
  once_core& core_;
  bool last_ = false;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
