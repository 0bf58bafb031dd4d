// Protocol: a task counts in running_ from the slot it got until after_fiber(), on the worker, when its fiber and stack
// have been given back. A slot passes from an ended task to the first who waits for one without being free in between.
// No lost wake-up: running_ and both queues change under one lock; after_fiber() touches nothing of the group after it.
#include <runnel/task_group.hpp>

#include "fiber/sanitizer.hpp"

#include <runnel/sched/fork.hpp>
#include <runnel/sched/operation.hpp>

#include <algorithm>

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using detail::sanitizer::hb_acquire;
using detail::sanitizer::hb_release;

namespace {

bool is_cancellation(const std::exception_ptr& e) noexcept {
  try {
    std::rethrow_exception(e);
  } catch (const canceled&) {
    return true;
  } catch (...) {
    return false;
  }
}

/// Whether e is a cancellation that began with `node`.
bool caused_by(const std::exception_ptr& e, const detail::context_node* node) noexcept {
  try {
    std::rethrow_exception(e);
  } catch (const canceled& c) {
    return c.origin() == cancel_origin(*node);
  } catch (...) {
    return false;
  }
}

}  // namespace

task_group_error::task_group_error(std::vector<std::exception_ptr> errors)
    : errors_(std::move(errors)), what_(std::to_string(errors_.size()) + " tasks of a group failed") {}

task_group::task_group(task_group_options options) : task_group(context::current(), options) {}

task_group::task_group(const context& parent, task_group_options options)
    : options_(options),
      name_(options.name),
      node_(detail::ref_ptr<detail::context_node>::adopt(
          new detail::plain_node(&detail::node_of(parent), &detail::node_of(parent)))) {
  if (options.limit == 0) detail::throw_misuse("runnel::task_group: a limit of 0 would never start a task");
}

task_group::~task_group() {
  cancel();
  join_shielded();
  if (!taken_ && first_error_ && std::uncaught_exceptions() == 0 && !is_cancellation(first_error_))
    detail::deliver_unhandled(first_error_);
  while (detail::group_child* c = failed_) {
    failed_ = c->next_failed;
    delete c;
  }
}

/// 0: there is none.
std::size_t task_group::try_acquire_slot() noexcept {
  if (node_->is_canceled()) return 0;
  raw_guard hold(object_.lock);
  if (running_ >= options_.limit) return 0;
  ++running_;
  return ++slots_given_;
}

std::size_t task_group::acquire_slot() {
  sched::waiter w;
  sched::wait_node n(w);
  {
    raw_guard hold(object_.lock);
    if (running_ < options_.limit) {
      ++running_;
      return ++slots_given_;
    }
    w.may_be_ended_by(object_);
    slot_waiters_.push_back(n);
  }
  if (detail::wait(w, sched::wait_reason::group_slot, this) != sched::was_canceled) return n.note;
  {
    raw_guard hold(object_.lock);
    slot_waiters_.remove(n);
  }
  try {
    detail::throw_wait_canceled();
  } catch (const canceled& c) {
    if (!(c.origin() == cancel_origin(*node_))) throw;
  }
  // This group itself was canceled: its tasks are ending, a slot comes soon.
  const detail::ambient_scope shield(nullptr);
  return acquire_slot();
}

void task_group::release_slot() noexcept {
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    if (sched::wait_node* n = slot_waiters_.claim_front()) {
      n->note = ++slots_given_;
      woken.push(*n->owner);
    } else if (--running_ == 0) {
      woken.claim_all(joiners_);
    }
  }
  woken.wake_all();
}

void task_group::start(detail::group_child* c, std::size_t slot, const detail::site& at) {
  sched::choice_point(sched::operation::start, this, at);
  c->group = this;
  c->index = slot;
  c->job::run = &run_on_fiber;
  c->job::finished = &after_fiber;
  try {
    sched::fiber* f = sched::reserve_fiber(stack_class::standard, name_, at);
    hb_release(c);
    sched::start_fiber(f, *c);
  } catch (...) {
    delete c;
    release_slot();
    throw;
  }
}

void task_group::run_on_fiber(sched::job& j) noexcept {
  auto& c = static_cast<detail::group_child&>(j);
  hb_acquire(&c);
  {
    detail::fiber_frame frame(*c.group->node_);
    try {
      c.call(c);
    } catch (...) {
      c.error = std::current_exception();
      if (caused_by(c.error, c.group->node_.get())) c.error = nullptr;
    }
  }
  if (c.error) c.group->record(c);
  hb_release(&c.group->joiners_);
  hb_release(&c);
}

/// On the failing fiber: keeps the failure and lets it act.
void task_group::record(detail::group_child& c) noexcept {
  {
    raw_guard hold(object_.lock);
    c.next_failed = failed_;
    failed_ = &c;
    if (!first_error_) first_error_ = c.error;
  }
  if (options_.on_failure == failure_policy::cancel_siblings) node_->cancel(c.error);
}

void task_group::after_fiber(sched::job& j) noexcept {
  auto& c = static_cast<detail::group_child&>(j);
  task_group& g = *c.group;
  if (!c.error) {
    hb_acquire(&c);
    delete &c;
  }
  g.release_slot();
}

bool task_group::join(time_point deadline) {
  sched::choice_point(sched::operation::wait, this);
  detail::check_canceled();
  sched::waiter w;
  sched::wait_node n(w);
  {
    raw_guard hold(object_.lock);
    if (running_ == 0) {
      hb_acquire(&joiners_);
      return true;
    }
    w.may_be_ended_by(object_);
    joiners_.push_back(n);
  }
  const sched::claim_token t = detail::wait(w, sched::wait_reason::group_wait, this, deadline);
  if (t == sched::granted) {
    hb_acquire(&joiners_);
    return true;
  }
  {
    raw_guard hold(object_.lock);
    joiners_.remove(n);
  }
  if (t == sched::was_canceled) detail::throw_wait_canceled();
  return false;
}

void task_group::join_shielded() noexcept {
  if (sched::in_forked_child()) return;
  const detail::ambient_scope shield(nullptr);
  join(never);
}

void task_group::wait() { static_cast<void>(wait_for(std::chrono::nanoseconds::max())); }

bool task_group::wait_for(duration limit) {
  try {
    if (!join(limit.nanoseconds() == std::chrono::nanoseconds::max() ? never : limit.from_now())) return false;
  } catch (const canceled& c) {
    cancel();
    join_shielded();
    if (!(c.origin() == cancel_origin(*node_))) throw;
  }
  finish();
  return true;
}

/// All tasks have ended.
void task_group::finish() {
  cancel();
  if (!first_error_) return;
  if (options_.on_failure == failure_policy::cancel_siblings) {
    taken_ = true;
    std::rethrow_exception(first_error_);
  }
  std::vector<const detail::group_child*> children;
  for (const detail::group_child* c = failed_; c; c = c->next_failed) children.push_back(c);
  std::sort(children.begin(), children.end(), [](auto* a, auto* b) { return a->index < b->index; });
  std::vector<std::exception_ptr> errors;
  if (body_error_) errors.push_back(body_error_);
  for (const detail::group_child* c : children) errors.push_back(c->error);
  task_group_error all(std::move(errors));
  taken_ = true;  // not before: without memory for the list, the first one goes to the unhandled hook
  throw all;
}

void task_group::fail_body(std::exception_ptr e) noexcept {
  if (!caused_by(e, node_.get())) {
    raw_guard hold(object_.lock);
    body_error_ = e;
    if (!first_error_) first_error_ = e;
  }
  node_->cancel(std::move(e));
}

}  // namespace runnel::inline RUNNEL_ABI
