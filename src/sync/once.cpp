// Invariants
//  1. done_ is set once, under the lock, after the last run.
//  2. running_ is true from the begin() that returns true to the finish() of that run, and from there on where finish()
//     passes the right to run to the first who waits; it is false while nobody waits and nobody runs.
//  3. Somebody is in the queue only while running_.
// No lost wake-up: who finds running_ enters the queue under the lock, and finish() takes that lock: at the last run it
// claims all who wait, else it claims one and makes it the runner. Who gives up has been claimed by its cancellation, so
// finish() passes it by: a right to run is never given to somebody who has gone away.
// Rejected: waking all who wait after an exception, who then race for the next run: each failed run would wake everybody.
#include <runnel/detail/once_core.hpp>

#include "cancellation.hpp"
#include "fiber/sanitizer.hpp"

#include <runnel/sched/left_waiters.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

once_core::~once_core() {
  if (sched::in_forked_child()) return;
  // relaxed: nobody else uses it any more, or it is misused; finish() may still hold the lock, with all done
  if (done_.load(shim::order::relaxed) && object_.lock.seems_free()) return;
  raw_guard hold(object_.lock);
  sched::tell_of_left_waiters("a once or lazy", this, waiters_);
  // Its runner destroys it where the function calls exit().
  if (running_ && runner_ != &sched::this_agent() && sched::goes_on(*runner_))
    (sched::left_is_fatal() ? fatal : report)(
        "a once or lazy is destroyed while its function runs (%p): wait for the end of the call first", static_cast<const void*>(this));
}

bool once_core::begin(sched::wait_reason reason) {
  const bool cancelable = reason != sched::wait_reason::once;
  sched::agent& caller = sched::this_agent();
  if (cancelable) check_canceled(caller, nullptr);
  sched::waiter w(caller);
  sched::wait_node n(w, sched::granted, &caller);
  {
    raw_guard hold(object_.lock);
    if (running_ && runner_ == &caller)
      throw_misuse("runnel::once or lazy: the function asks for the result of its own run, which would wait for itself");
    if (running_) {
      if (sched::in_forked_child()) sched::refuse_in_forked_child();
      w.may_be_ended_by(object_);
      waiters_.push_back(n);
    } else {
      sanitizer::hb_acquire(done_.address());
      if (done_.load(shim::order::relaxed)) return false;  // relaxed: set under the lock
      running_ = true;
      runner_ = &caller;
      return true;
    }
  }
  const sched::claim_token t = cancelable ? wait(caller, w, reason, this) : sched::park(w, reason, this);
  if (t == sched::was_canceled) {
    {
      raw_guard hold(object_.lock);
      waiters_.remove(n);
    }
    throw_wait_canceled();
  }
  sanitizer::hb_acquire(done_.address());
  return n.note == 0;  // see finish()
}

void once_core::finish(bool last) noexcept {
  sanitizer::hb_release(done_.address());
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    if (last) {
      running_ = false;
      done_.store(true, shim::order::release);  // release: publishes what was done to done()
      while (sched::wait_node* next = waiters_.claim_front()) {
        next->note = 1;
        woken.push(*next->owner);
      }
    } else if (sched::wait_node* next = waiters_.claim_front()) {
      runner_ = static_cast<const sched::agent*>(next->slot);
      woken.push(*next->owner);
    } else {
      running_ = false;
    }
  }
  woken.wake_all();
}

}  // namespace runnel::inline RUNNEL_ABI::detail
