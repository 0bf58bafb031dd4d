// A bit and a queue under one lock; see wait_in.hpp for the arguments. auto_reset_event gives the bit to the first who waits
// without setting it, so that nobody who comes later can take it away.
#include <runnel/sync/event.hpp>

#include "sync/wait_in.hpp"

#include <runnel/sched/left_waiters.hpp>

#include <utility>

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using detail::sanitizer::hb_acquire;
using detail::sanitizer::hb_release;
using sched::choice_point;
using sched::operation;

event::~event() {
  if (waiters_.empty() || sched::in_forked_child()) return;  // without the lock: nobody else uses it any more
  raw_guard hold(object_.lock);
  sched::tell_of_left_waiters("an event", this, waiters_);
}

void event::set() noexcept {
  choice_point(operation::store, this);
  hb_release(&waiters_);
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    set_ = true;
    woken.claim_all(waiters_);
  }
  woken.wake_all();
}

void event::reset() noexcept {
  choice_point(operation::store, this);
  raw_guard hold(object_.lock);
  set_ = false;
}

bool event::is_set() const noexcept {
  choice_point(operation::look, this);
  raw_guard hold(object_.lock);
  if (set_) hb_acquire(&waiters_);
  return set_;
}

bool event::wait_until(time_point deadline, detail::context_node* extra) const {
  return detail::wait_in({object_, waiters_, sched::wait_reason::event}, deadline, extra, [this] { return set_; });
}

auto_reset_event::~auto_reset_event() {
  if (waiters_.empty() || sched::in_forked_child()) return;  // without the lock: nobody else uses it any more
  raw_guard hold(object_.lock);
  sched::tell_of_left_waiters("an auto_reset_event", this, waiters_);
}

void auto_reset_event::set() noexcept {
  choice_point(operation::store, this);
  hb_release(&waiters_);
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    if (sched::wait_node* first = waiters_.claim_front()) {
      woken.push(*first->owner);
    } else {
      set_ = true;
    }
  }
  woken.wake_all();
}

void auto_reset_event::reset() noexcept {
  choice_point(operation::store, this);
  raw_guard hold(object_.lock);
  set_ = false;
}

bool auto_reset_event::take() noexcept {
  if (!std::exchange(set_, false)) return false;
  hb_acquire(&waiters_);
  return true;
}

bool auto_reset_event::try_wait() noexcept {
  choice_point(operation::look, this);
  raw_guard hold(object_.lock);
  return take();
}

bool auto_reset_event::wait_until(time_point deadline, detail::context_node* extra) {
  return detail::wait_in({object_, waiters_, sched::wait_reason::event}, deadline, extra, [this] { return take(); });
}

}  // namespace runnel::inline RUNNEL_ABI
