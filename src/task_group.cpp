// The word: bit 0, J: somebody may wait for the end; bit 1, S: somebody may wait for a slot; above: how many tasks count.
// A task counts from the slot it got until after_fiber(), on the worker, when its fiber and stack have been given back.
//
// Protocol
//  1. A slot is taken by compare-exchange while there are fewer than the limit.
//  2. It is given back by compare-exchange, and that is the last that the task touches of the group; but under the lock
//     while S is set, and by the last task while J is set. Under the lock it passes to the first who waits for one without
//     being free in between.
//  3. Who waits sets its bit under the lock, in the same operation that finds no slot free, or tasks left. So S says that
//     all slots are taken, J that there is a task. Only tasks that end clear them: S when nobody wants the slot, J with the
//     last one. Who gives up leaves its bit: a task comes to the lock for nothing.
// No lost wake-up: what changes the word before a bit is set is seen by who sets it; what comes later finds the bit and, under
// the lock, the waiter.
// Destruction right after wait(): it looks under the lock, and only somebody who counts waits for the lock. Who brought the
// word to zero has touched nothing after its compare-exchange, or has claimed the waiters and released the lock before it
// wakes them, and touches nothing of the group after that.
// Rejected: the number of a task, which orders the failures, in the word too: it would run out in an hour of short tasks. It
// is counted where failures are collected, and nowhere else.
#include <runnel/task_group.hpp>

#include "fiber/sanitizer.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/sched/fork.hpp>
#include <runnel/sched/operation.hpp>

#include <algorithm>

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using detail::sanitizer::hb_acquire;
using detail::sanitizer::hb_release;

namespace {

constexpr std::uint64_t joined = 1, slot_wanted = 2, one = 4;
constexpr std::uint64_t count_of(std::uint64_t word) noexcept { return word / one; }

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
  if (detail::runs_in_task_of(*this))
    detail::fatal("runnel::task_group: destroyed by one of its own tasks, for whose end it waits: "
                  "let who made it destroy it");
  cancel();
  join_shielded();
  if (!taken_ && first_error_ && std::uncaught_exceptions() == 0 && !is_cancellation(first_error_))
    detail::deliver_unhandled(first_error_);
  while (detail::group_child* c = failed_) {
    failed_ = c->next_failed;
    delete c;
  }
}

bool task_group::try_acquire_slot() noexcept {
  std::uint64_t seen = word_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (count_of(seen) < options_.limit) {
    // acquire: pairs with release_slot(): what the slot's last task did happens before the next. Relaxed on failure: as above
    if (word_.compare_exchange(seen, seen + one, shim::order::acquire, shim::order::relaxed)) return true;
  }
  return false;
}

/// Under the lock. False: S is set, and no slot comes free without it.
bool task_group::acquire_slot_or_ask() noexcept {
  while (!try_acquire_slot()) {
    std::uint64_t seen = word_.load(shim::order::relaxed);  // relaxed: S changes under the lock; for the rest as above
    if (seen & slot_wanted) return false;
    // relaxed: who finds S comes to the lock
    if (count_of(seen) == options_.limit &&
        word_.compare_exchange(seen, seen | slot_wanted, shim::order::relaxed, shim::order::relaxed))
      return false;
  }
  return true;
}

void task_group::acquire_slot(detail::context_node* extra) {
  if (try_acquire_slot()) return;
  sched::waiter w;
  sched::wait_node n(w);
  {
    raw_guard hold(object_.lock);
    if (acquire_slot_or_ask()) return;
    w.may_be_ended_by(object_);
    slot_waiters_.push_back(n);
  }
  if (detail::wait(w, sched::wait_reason::group_slot, this, never, extra) != sched::was_canceled) return;
  {
    raw_guard hold(object_.lock);
    slot_waiters_.remove(n);
  }
  try {
    detail::throw_wait_canceled(extra);
  } catch (const canceled& c) {
    if (!(c.origin() == cancel_origin(*node_))) throw;
  }
  // This group itself was canceled: its tasks are ending, a slot comes soon.
  const detail::ambient_scope shield(nullptr);
  acquire_slot(extra && extra->origin() == node_.get() ? nullptr : extra);
}

void task_group::release_slot() noexcept {
  std::uint64_t seen = word_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (!(seen & slot_wanted) && seen != (one | joined)) {
    // release: what the task did is seen by wait(), and by the slot's next task. Relaxed on failure: as above
    if (word_.compare_exchange(seen, seen - one, shim::order::release, shim::order::relaxed)) return;
  }
  release_slot_to_waiters();
}

void task_group::release_slot_to_waiters() noexcept {
  sched::wake_list woken;
  {
    raw_guard hold(object_.lock);
    if (const sched::wait_node* n = slot_waiters_.claim_front()) {
      woken.push(*n->owner);
    } else {
      std::uint64_t seen = word_.load(shim::order::relaxed);  // relaxed: as above
      std::uint64_t next;
      do {
        next = (seen & ~slot_wanted) - one;
        if (count_of(next) == 0) next = 0;
        // release: as above; acquire: what the other tasks did, for the joiners that are woken here
      } while (!word_.compare_exchange(seen, next, shim::order::acq_rel, shim::order::relaxed));  // relaxed: as above
      if (next == 0) woken.claim_all(joiners_);
    }
  }
  woken.wake_all();
}

void task_group::start(detail::group_child* c, const detail::site& at) {
  sched::choice_point(sched::operation::start, this, at);
  c->group = this;
  if (options_.on_failure == failure_policy::collect_all)
    c->number = started_.fetch_add(1, shim::order::relaxed);  // relaxed: whoever starts one after another sees them so
  c->job::run = &run_on_fiber;
  c->job::finished = &after_fiber;
  try {
    sched::fiber* f = sched::reserve_fiber(stack_class::standard, name_, at);
    if (options_.limit == 1) hb_acquire(&slot_waiters_);
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
  if (c.group->options_.limit == 1) hb_release(&c.group->slot_waiters_);
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

/// Under the lock. True: J is set, and the last task comes to the lock.
bool task_group::any_left_to_join() noexcept {
  for (;;) {
    std::uint64_t seen = word_.load(shim::order::acquire);  // acquire: pairs with release_slot()
    if (count_of(seen) == 0) return false;
    if (seen & joined) return true;
    // relaxed: who finds J comes to the lock
    if (word_.compare_exchange(seen, seen | joined, shim::order::relaxed, shim::order::relaxed)) return true;
  }
}

bool detail::runs_in_task_of(const task_group& g) noexcept {
  const sched::job* const j = sched::current_job();
  return j && j->run == &task_group::run_on_fiber && static_cast<const group_child*>(j)->group == &g;
}

bool task_group::join(time_point deadline, detail::context_node* extra) {
  sched::choice_point(sched::operation::wait, this);
  detail::check_canceled(extra);
  sched::waiter w;
  sched::wait_node n(w);
  {
    raw_guard hold(object_.lock);
    if (!any_left_to_join()) {
      hb_acquire(&joiners_);
      return true;
    }
    w.may_be_ended_by(object_);
    joiners_.push_back(n);
  }
  const sched::claim_token t = detail::wait(w, sched::wait_reason::group_wait, this, deadline, extra);
  if (t == sched::granted) {
    hb_acquire(&joiners_);
    return true;
  }
  {
    raw_guard hold(object_.lock);
    joiners_.remove(n);
  }
  if (t == sched::was_canceled) detail::throw_wait_canceled(extra);
  return false;
}

void task_group::join_shielded() noexcept {
  if (sched::in_forked_child()) return;
  const detail::ambient_scope shield(nullptr);
  join(never, nullptr);
}

bool task_group::wait_until(time_point deadline, detail::context_node* extra) {
  if (detail::runs_in_task_of(*this))
    detail::throw_misuse("runnel::task_group: a task waits for its own group, and so for itself: "
                         "let who made the group wait");
  try {
    if (!join(deadline, extra)) return false;
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
  std::sort(children.begin(), children.end(), [](auto* a, auto* b) { return a->number < b->number; });
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
