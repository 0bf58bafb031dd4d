// No lost wake-up: the counter and the queue change under one lock, which wait() holds from its look to its enqueueing.
// Destruction right after wait(): the last done() has claimed the waiters and released the lock before it wakes them, and
// touches nothing of the group after that.
#include <runnel/sync/wait_group.hpp>

#include "fiber/sanitizer.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/sched/fork.hpp>
#include <runnel/sched/operation.hpp>

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using detail::sanitizer::hb_acquire;
using detail::sanitizer::hb_release;
using sched::choice_point;
using sched::operation;

wait_group::~wait_group() {
  raw_guard hold(object_.lock);
  if (fibers_ != 0 && !sched::in_forked_child())
    detail::fatal("a wait_group is destroyed while %td of its fibers run: call wait() first", fibers_);
}

void wait_group::add(std::ptrdiff_t n) {
  choice_point(operation::add, this);
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    if (count_ + n < 0) {
      if (std::uncaught_exceptions() > 0) detail::fatal("wait_group: the counter would become negative: one done() too many");
      detail::throw_misuse("runnel::wait_group: the counter would become negative: one done() too many");
    }
    if (n < 0) hb_release(&waiters_);
    count_ += n;
    if (count_ == 0) woken.claim_all(waiters_);
  }
  woken.wake_all();
}

bool wait_group::wait_until(time_point deadline, detail::context_node* extra) {
  choice_point(operation::wait, this);
  detail::check_canceled(extra);
  sched::waiter w;
  sched::wait_node n(w);
  {
    raw_guard hold(object_.lock);
    if (count_ == 0) {
      hb_acquire(&waiters_);
      return true;
    }
    w.may_be_ended_by(object_);
    waiters_.push_back(n);
  }
  const sched::claim_token t = detail::wait(w, sched::wait_reason::wait_group, this, deadline, extra);
  if (t == sched::granted) {
    hb_acquire(&waiters_);
    return true;
  }
  {
    raw_guard hold(object_.lock);
    waiters_.remove(n);
  }
  if (t == sched::was_canceled) detail::throw_wait_canceled(extra);
  return false;
}

void wait_group::started() noexcept {
  raw_guard hold(object_.lock);
  ++count_;
  ++fibers_;
}

void wait_group::ended() noexcept {
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    --fibers_;
    if (--count_ == 0) woken.claim_all(waiters_);
  }
  woken.wake_all();
}

namespace detail {

namespace {
void run_owned(sched::job& j) noexcept {
  auto& c = static_cast<owned_child&>(j);
  hb_acquire(&c);
  {
    fiber_frame frame(*c.node);
    try {
      c.call(c);
    } catch (const canceled&) {
      // its context was canceled: that is how it is meant to end
    } catch (...) {
      deliver_unhandled(std::current_exception());
    }
  }
  if (c.joined) hb_release(c.joined);
  hb_release(&c);
}
}  // namespace

void start_owned(owned_child& c, const site& at) {
  choice_point(operation::start, nullptr, at);
  const ambient_parents p = ambient();
  c.node = ref_ptr<context_node>(p.cancel ? p.cancel : nullptr);
  if (!c.node) c.node = ref_ptr<context_node>::adopt(new plain_node(nullptr, p.values));
  c.job::run = &run_owned;
  c.job::finished = [](sched::job& j) noexcept {
    auto& child = static_cast<owned_child&>(j);
    hb_acquire(&child);
    child.end(child);
  };
  sched::fiber* f = sched::reserve_fiber(stack_class::standard, "", at);
  hb_release(&c);
  sched::start_fiber(f, c);
}

}  // namespace detail
}  // namespace runnel::inline RUNNEL_ABI
