// The counter and the queue stand under one lock: see wait_in.hpp for why no wake-up is lost and why a latch may be
// destroyed right after wait().
// Rejected: a counter that goes down by one addition without the lock. Who brings it to zero would come to the lock after
// the counter has said so, and somebody who looks then may have destroyed the latch.
#include <runnel/sync/latch.hpp>

#include "sync/wait_in.hpp"

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using sched::choice_point;
using sched::operation;

latch::latch(std::ptrdiff_t expected) : count_(expected) {
  if (expected < 0) detail::throw_misuse("runnel::latch: the counter cannot begin below zero");
}

void latch::count_down(std::ptrdiff_t n) {
  choice_point(operation::add, this);
  detail::sanitizer::hb_release(&waiters_);
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    if (n < 0 || n > count_) detail::throw_misuse("runnel::latch: counted down by less than nothing, or below zero");
    count_ -= n;
    if (count_ == 0) woken.claim_all(waiters_);
  }
  woken.wake_all();
}

bool latch::try_wait() const noexcept {
  choice_point(operation::look, this);
  raw_guard hold(object_.lock);
  if (count_ == 0) detail::sanitizer::hb_acquire(&waiters_);
  return count_ == 0;
}

bool latch::wait_until(time_point deadline, detail::context_node* extra) const {
  return detail::wait_in({object_, waiters_, sched::wait_reason::latch}, deadline, extra, [this] { return count_ == 0; });
}

void latch::arrive_and_wait(std::ptrdiff_t n, detail::context_node* extra) {
  detail::check_canceled(extra);
  count_down(n);
  static_cast<void>(wait_until(never, extra));
}

}  // namespace runnel::inline RUNNEL_ABI
