// Something that has happened, or not: `event` stays set until it is reset, and lets everybody through; `auto_reset_event`
// lets one through and is unset by it.
//
// Use when: many wait for a state that comes and goes (event); one is to look whenever there is something new, however often
// that was said (auto_reset_event). For values: a channel; for the end of work: wait_group, a task.
// Guarantees: what happened before a set() happens before the wait() that it ends. A set() releases those who wait at that
// moment, each once: one that was released and waits again has to be released again. An auto_reset_event releases in the
// order of arrival. Both may be destroyed right after a wait().
// Errors: destroying one with waiters ends the process with a message that names them; outside of fibers it is only told.
// Blocking and cancellation: every wait is a cancellation point; who is canceled has consumed nothing.
// Cost: 48 bytes; each operation is one short lock.
// Source: the manual and auto reset events of Windows.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/context.hpp>

namespace runnel::inline RUNNEL_ABI {

class event {
 public:
  event() noexcept = default;
  event(const event&) = delete;
  event& operator=(const event&) = delete;
  ~event();

  /// From now on nobody waits, until reset(). Setting it twice is setting it once.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void set() noexcept;
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void reset() noexcept;
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool is_set() const noexcept;
  /// - blocks: until it is set
  /// - cancel: throws canceled
  /// - threads: any
  RUNNEL_PARKS void wait() const { static_cast<void>(wait_until(never)); }
  /// The same, observing ctx too.
  RUNNEL_PARKS void wait(const context& ctx) const { static_cast<void>(wait_until(never, &detail::node_of(ctx))); }
  /// False when the limit came first.
  RUNNEL_PARKS bool wait_for(duration limit) const { return wait_until(limit.from_now()); }
  RUNNEL_PARKS bool wait_until(time_point deadline) const { return wait_until(deadline, nullptr); }

 private:
  bool wait_until(time_point deadline, detail::context_node* extra) const;

  mutable sched::wait_object object_;
  bool set_ = false;                   ///< under object_.lock
  mutable sched::wait_queue waiters_;  ///< under object_.lock; empty while it is set
};

class auto_reset_event {
 public:
  auto_reset_event() noexcept = default;
  auto_reset_event(const auto_reset_event&) = delete;
  auto_reset_event& operator=(const auto_reset_event&) = delete;
  ~auto_reset_event();

  /// Releases the first who waits; if nobody does, the next one to come. Setting it twice in a row is setting it once.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void set() noexcept;
  /// Takes back a set() that has released nobody yet.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void reset() noexcept;
  /// Whether it was set; it is not any more.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool try_wait() noexcept;
  /// - blocks: until a set() is for the caller
  /// - cancel: throws canceled; the set() is for the next one
  /// - threads: any
  RUNNEL_PARKS void wait() { static_cast<void>(wait_until(never)); }
  /// The same, observing ctx too.
  RUNNEL_PARKS void wait(const context& ctx) { static_cast<void>(wait_until(never, &detail::node_of(ctx))); }
  /// False when the limit came first.
  RUNNEL_PARKS bool wait_for(duration limit) { return wait_until(limit.from_now()); }
  RUNNEL_PARKS bool wait_until(time_point deadline) { return wait_until(deadline, nullptr); }

 private:
  bool take() noexcept;
  bool wait_until(time_point deadline, detail::context_node* extra);

  sched::wait_object object_;
  bool set_ = false;          ///< under object_.lock
  sched::wait_queue waiters_;  ///< under object_.lock; empty while it is set
};

}  // namespace runnel::inline RUNNEL_ABI
