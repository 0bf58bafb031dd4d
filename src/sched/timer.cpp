// The pairing heap, and the firing of what is due. One lock guards the heap.
//
// Invariants (under the lock)
//  1. root_ is the earliest; every node is not earlier than its parent.
//  2. `previous` of a first child is its parent, of any other child its left sibling.
//  3. next_ns equals root's deadline, or `never`; it is read without the lock as a hint and, seq_cst, by the poller.
// Lock order: the timer lock comes before any wait_object's lock (fire functions take channel locks).
// Rejected: an array heap (arming could fail for lack of memory, and destructors arm nothing but cancel much).
#include <runnel/base/raw_lock.hpp>
#include <runnel/sched/waiter.hpp>

#include "sched/poll.hpp"
#include "sched/runtime.hpp"

#include <utility>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

detail::raw_lock lock;
timer_node* root = nullptr;
std::size_t count = 0;
shim::atomic<std::int64_t> next_ns{never.time_since_epoch().count()};

/// Both may be null; neither has siblings.
timer_node* meld(timer_node* a, timer_node* b) noexcept {
  if (!a) return b;
  if (!b) return a;
  if (b->deadline < a->deadline) std::swap(a, b);
  b->sibling = a->child;
  if (a->child) a->child->previous = b;
  b->previous = a;
  a->child = b;
  a->sibling = nullptr;
  return a;
}

/// Two passes over a list of siblings: meld pairs from the left, then the results from the right.
timer_node* meld_pairs(timer_node* first) noexcept {
  timer_node* pairs = nullptr;
  while (first) {
    timer_node* a = first;
    timer_node* b = a->sibling;
    first = b ? b->sibling : nullptr;
    a->sibling = nullptr;
    if (b) b->sibling = nullptr;
    timer_node* pair = meld(a, b);
    pair->sibling = pairs;
    pairs = pair;
  }
  timer_node* all = nullptr;
  while (pairs) {
    timer_node* rest = pairs->sibling;
    pairs->sibling = nullptr;
    all = meld(all, pairs);
    pairs = rest;
  }
  return all;
}

void publish_next() noexcept {
  const time_point t = root ? root->deadline : never;
  next_ns.store(t.time_since_epoch().count(), shim::order::seq_cst);  // seq_cst: see poll.hpp, no lost timer
}

void insert(timer_node& n, time_point deadline) noexcept {
  n.deadline = deadline;
  n.child = n.sibling = n.previous = nullptr;
  n.armed = true;
  root = meld(root, &n);
  ++count;
}

void take_out(timer_node& n) noexcept {
  if (&n == root) {
    root = meld_pairs(n.child);
    if (root) root->previous = nullptr;
  } else {
    if (n.previous->child == &n) {
      n.previous->child = n.sibling;
    } else {
      n.previous->sibling = n.sibling;
    }
    if (n.sibling) n.sibling->previous = n.previous;
    timer_node* children = meld_pairs(n.child);
    if (children) children->previous = nullptr;
    root = meld(root, children);
  }
  n.child = n.sibling = n.previous = nullptr;
  n.armed = false;
  --count;
}

/// Under the lock, after an insertion; true when the poller may have to be told.
bool publish_if_first(timer_node& n) noexcept {
  if (root != &n) return false;
  publish_next();
  return true;
}

}  // namespace

void arm(timer_node& n, time_point deadline) {
  runtime::instance().ensure_started();
  bool first;
  {
    detail::raw_guard hold(lock);
    insert(n, deadline);
    first = publish_if_first(n);
  }
  if (first) timer_moved_up(deadline);
}

bool disarm(timer_node& n) noexcept {
  detail::raw_guard hold(lock);
  if (!n.armed) return false;
  const bool first = root == &n;
  take_out(n);
  if (first) publish_next();
  return true;
}

bool rearm(timer_node& n, time_point deadline, void (*prepare)(timer_node&, void*) noexcept, void* argument) {
  if (deadline != never) runtime::instance().ensure_started();
  bool was, first = false;
  {
    detail::raw_guard hold(lock);
    was = n.armed;
    if (was) take_out(n);
    prepare(n, argument);
    if (deadline != never) {
      insert(n, deadline);
      first = root == &n;
    }
    publish_next();
  }
  if (first) timer_moved_up(deadline);
  return was;
}

void run_due_timers() noexcept {
  if (next_timer() == never) return;
  const time_point now = steady_clock::now();
  if (next_timer() > now) return;
  wake_list woken;
  deferred* first = nullptr;
  deferred** last = &first;
  {
    detail::raw_guard hold(lock);
    while (root && root->deadline <= now) {
      timer_node& n = *root;
      take_out(n);
      n.again = false;
      if (deferred* d = n.fire(n, woken)) {
        d->next = nullptr;
        *last = d;
        last = &d->next;
      }
      if (n.again) insert(n, n.deadline);
    }
    publish_next();
  }
  woken.wake_all();
  while (first) {
    deferred* d = first;
    first = d->next;
    d->run(d);
  }
}

time_point next_timer() noexcept {
  // seq_cst: see poll.hpp, no lost timer; elsewhere a hint
  return time_point(time_point::duration(next_ns.load(shim::order::seq_cst)));
}

std::size_t armed_timers() noexcept {
  detail::raw_guard hold(lock);
  return count;
}

}  // namespace runnel::inline RUNNEL_ABI::sched
