// Counters and queue stand under one lock; see wait_in.hpp for why no wake-up is lost.
//
// Table of a phase: pending_ > 0: it gathers; pending_ == 0: it has everybody, the last arrival runs the completion function
// without the lock, and complete() begins the next one. A phase that has everybody cannot lose an arrival any more: who
// is canceled then waits for its end, which depends on nobody but the completion function.
// Destruction: complete() claims who waits under the lock, wakes them behind it and touches nothing afterwards; the last to
// arrive does not wait. Who arrives and waits does both in one section: the last one may destroy the barrier at once, and
// the others must be in its queue by then.
#include <runnel/detail/barrier_core.hpp>

#include "sync/wait_in.hpp"

#include <runnel/sched/left_waiters.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {
[[noreturn, gnu::cold]] void refuse() {
  throw_misuse("runnel::barrier: more arrivals than the phase expects, or one from the completion function, or none");
}
}  // namespace

barrier_core::barrier_core(std::ptrdiff_t expected) : expected_(expected), pending_(expected) {
  if (expected < 0) throw_misuse("runnel::barrier: the number of arrivals cannot be negative");
}

barrier_core::~barrier_core() {
  if (waiters_.empty() || sched::in_forked_child()) return;  // without the lock: nobody else uses it any more
  raw_guard hold(object_.lock);
  sched::tell_of_left_waiters("a barrier", this, waiters_);
}

/// Under the lock; nothing where that is misuse.
std::optional<barrier_core::arrival> barrier_core::count(std::ptrdiff_t n, std::ptrdiff_t dropped) noexcept {
  if (n <= 0 || n > pending_) return std::nullopt;
  sanitizer::hb_release(&waiters_);
  pending_ -= n;
  expected_ -= dropped;
  if (pending_ == 0) sanitizer::hb_acquire(&waiters_);
  return arrival{phase_, pending_ == 0};
}

barrier_core::arrival barrier_core::arrive(std::ptrdiff_t n, std::ptrdiff_t dropped) {
  sched::choice_point(sched::operation::add, this);
  raw_guard hold(object_.lock);
  const std::optional<arrival> counted = count(n, dropped);
  if (!counted) refuse();
  return *counted;
}

barrier_core::arrival barrier_core::arrive(std::ptrdiff_t n) { return arrive(n, 0); }
barrier_core::arrival barrier_core::arrive_and_drop() { return arrive(1, 1); }

void barrier_core::complete() noexcept {
  sanitizer::hb_release(&waiters_);
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    ++phase_;
    pending_ = expected_;
    woken.claim_all(waiters_);
  }
  woken.wake_all();
}

bool barrier_core::wait_until(std::uint64_t phase, time_point deadline, context_node* extra) const {
  return wait_in({object_, waiters_, sched::wait_reason::barrier}, deadline, extra, [&] { return phase_ != phase; });
}

barrier_core::ending barrier_core::arrive_and_wait_until(time_point deadline, context_node* extra) {
  sched::choice_point(sched::operation::wait, this);
  const wait_place here{object_, waiters_, sched::wait_reason::barrier};
  sched::agent& caller = sched::this_agent();
  check_canceled(caller, extra);
  std::optional<arrival> mine;
  const sched::claim_token t = wait_for_grant(here, caller, observes::cancellation, deadline, extra, [&] {
    mine = count(1, 0);
    return !mine || mine->last;
  });
  if (!mine) refuse();
  if (t == sched::granted) return mine->last ? ending::last : ending::passed;
  const auto over = [&] { return phase_ != mine->phase; };
  bool withdrawn = false;
  {
    raw_guard hold(object_.lock);
    if (!over() && pending_ > 0) {
      ++pending_;
      withdrawn = true;
    }
  }
  if (!withdrawn) {
    wait_for_grant(here, caller, observes::nothing, never, nullptr, over);
    return ending::passed;
  }
  if (t == sched::was_canceled) throw_wait_canceled(extra);
  return ending::withdrawn;
}

}  // namespace runnel::inline RUNNEL_ABI::detail
