// The counter and the queue stand under one lock: see wait_in.hpp for why no wake-up is lost and why a latch may be
// destroyed right after wait(). Who arrives and waits does both in one section: the one who counts last may destroy the latch
// at once, and those who have counted before must be in its queue by then.
// Rejected: a counter that goes down by one addition without the lock. Who brings it to zero would come to the lock after
// the counter has said so, and somebody who looks then may have destroyed the latch.
#include <runnel/sync/latch.hpp>

#include "sync/wait_in.hpp"

#include <runnel/sched/left_waiters.hpp>

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using sched::choice_point;
using sched::operation;

namespace {
[[noreturn, gnu::cold]] void refuse() {
  detail::throw_misuse("runnel::latch: counted down by less than nothing, or below zero");
}
}  // namespace

latch::latch(std::ptrdiff_t expected) : count_(expected) {
  if (expected < 0) detail::throw_misuse("runnel::latch: the counter cannot begin below zero");
}

latch::~latch() {
  if (waiters_.empty() || sched::in_forked_child()) return;  // without the lock: nobody else uses it any more
  raw_guard hold(object_.lock);
  sched::tell_of_left_waiters("a latch", this, waiters_);
}

/// Under the lock; false where that is misuse.
bool latch::count(std::ptrdiff_t n, sched::wake_list& woken) noexcept {
  if (n < 0 || n > count_) return false;
  detail::sanitizer::hb_release(&waiters_);
  count_ -= n;
  if (count_ == 0) woken.claim_all(waiters_);
  return true;
}

void latch::count_down(std::ptrdiff_t n) {
  choice_point(operation::add, this);
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    if (!count(n, woken)) refuse();
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
  sched::wake_list woken;
  bool possible = true;
  detail::wait_in({object_, waiters_, sched::wait_reason::latch}, never, extra, [&] {
    possible = count(n, woken);
    return !possible || count_ == 0;
  });
  woken.wake_all();
  if (!possible) refuse();
}

}  // namespace runnel::inline RUNNEL_ABI
