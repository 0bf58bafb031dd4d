// Waiting for a condition of an object: what latch, barrier and the events share.
//
// No lost wake-up: ready() is looked at and the waiter linked in one critical section of the object's lock. Whoever makes
// the condition true does it under that lock, claims the waiters there, and wakes them behind it.
// Destruction right after the wait: who waits has looked under the lock, or was woken behind it; whoever wakes touches
// nothing of the object after it has given the lock back.
#pragma once

#include "cancellation.hpp"
#include "fiber/sanitizer.hpp"

#include <runnel/sched/operation.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

/// The lock and the queue of one object.
struct wait_place {
  sched::wait_object& object;
  sched::wait_queue& queue;
  sched::wait_reason reason;
};

enum class observes : std::uint8_t { nothing, cancellation };

/// `granted`: ready() was true, under the lock, or the wait was granted; what happened before the hb_release of the queue by
/// who did that happens before the return. Else what ended the wait; then nobody knows the caller any more.
template <class Ready>
sched::claim_token wait_for_grant(const wait_place& p, sched::agent& caller, observes o, time_point deadline,
                                  context_node* extra, Ready ready) noexcept {
  sched::waiter w(caller);
  sched::wait_node n(w);
  {
    raw_guard hold(p.object.lock);
    if (ready()) {
      sanitizer::hb_acquire(&p.queue);
      return sched::granted;
    }
    w.may_be_ended_by(p.object);
    p.queue.push_back(n);
  }
  const sched::claim_token t = o == observes::nothing ? sched::park(w, p.reason, &p.object, deadline)
                                                      : wait(caller, w, p.reason, &p.object, deadline, extra);
  if (t == sched::granted) {
    sanitizer::hb_acquire(&p.queue);
  } else {
    raw_guard hold(p.object.lock);
    p.queue.remove(n);
  }
  return t;
}

/// The whole of a blocking operation: true when it was granted, false when the deadline came first. Throws canceled.
template <class Ready>
bool wait_in(const wait_place& p, time_point deadline, context_node* extra, Ready ready) {
  sched::choice_point(sched::operation::wait, &p.object);
  sched::agent& caller = sched::this_agent();
  check_canceled(caller, extra);
  const sched::claim_token t = wait_for_grant(p, caller, observes::cancellation, deadline, extra, ready);
  if (t == sched::was_canceled) throw_wait_canceled(extra);
  return t == sched::granted;
}

}  // namespace runnel::inline RUNNEL_ABI::detail
