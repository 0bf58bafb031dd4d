// No lost notification: a waiter is linked before it unlocks the mutex. Whoever changes the condition under the mutex after
// that finds it, in notify_*() under the lock; who looks at the queue without it (seems_empty) has been told by the mutex.
// Exactly one: a notification ends a wait by claiming it, as do a time limit and a cancellation. Who was claimed by one of
// those is skipped, so a notification is neither used up nor has it to be passed on.
// Destruction: who was notified touches nothing any more. Who gave up while all were notified may still have to leave, under
// the lock: inside_ counts it, the destructor waits for it in the queue, and the last to leave ends that wait.
// Rejected: waiters that are moved to the mutex's queue and wait on there (wait morphing). A wait that is notified but not
// over could still be canceled, and would have to pass its notification on.
#include <runnel/sync/condition_variable.hpp>

#include "cancellation.hpp"

#include <runnel/error.hpp>
#include <runnel/sched/left_waiters.hpp>
#include <runnel/sched/operation.hpp>

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using sched::choice_point;
using sched::operation;

condition_variable::~condition_variable() {
  sched::waiter w;
  sched::wait_node n(w);
  {
    raw_guard hold(object_.lock);
    inside_ -= static_cast<std::uint32_t>(sched::refuse_to_leave_waiters("a condition_variable", this, waiters_));
    if (inside_ == 0 || sched::in_forked_child()) return;
    waiters_.push_back(n);
  }
  sched::park(w, sched::wait_reason::condition, this);
}

void condition_variable::notify_one() noexcept {
  choice_point(operation::notify, this);
  if (waiters_.seems_empty()) return;
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    if (sched::wait_node* n = waiters_.claim_front()) {
      --inside_;
      woken.push(*n->owner);
    }
  }
  woken.wake_all();
}

void condition_variable::notify_all() noexcept {
  choice_point(operation::notify, this);
  if (waiters_.seems_empty()) return;
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    while (sched::wait_node* n = waiters_.claim_front()) {
      --inside_;
      woken.push(*n->owner);
    }
  }
  woken.wake_all();
}

void condition_variable::begin(const std::unique_lock<mutex>& lock, detail::context_node* extra) {
  choice_point(operation::wait, this);
  if (!lock.owns_lock()) detail::throw_misuse("runnel::condition_variable: wait() needs a lock that owns its mutex");
  detail::check_canceled(sched::this_agent(), extra);
}

std::cv_status condition_variable::wait_once(std::unique_lock<mutex>& lock, time_point deadline, detail::context_node* extra) {
  sched::agent& caller = sched::this_agent();
  sched::waiter w(caller);
  sched::wait_node n(w);
  {
    raw_guard hold(object_.lock);
    w.may_be_ended_by(object_);
    waiters_.push_back(n);
    ++inside_;
  }
  lock.unlock();
  const sched::claim_token t = detail::wait(caller, w, sched::wait_reason::condition, this, deadline, extra);
  if (t != sched::granted) leave(n);
  lock.lock();
  if (t == sched::was_canceled) detail::throw_wait_canceled(extra);
  return t == sched::timed_out ? std::cv_status::timeout : std::cv_status::no_timeout;
}

void condition_variable::leave(sched::wait_node& n) noexcept {
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    waiters_.remove(n);
    if (--inside_ == 0) woken.claim_all(waiters_);  // whoever is in the queue and not inside_ is the destructor
  }
  woken.wake_all();
}

}  // namespace runnel::inline RUNNEL_ABI
