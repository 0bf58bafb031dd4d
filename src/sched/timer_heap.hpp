// The pairing heap of timers, and the firing of its first one. The real clock has one (timer.cpp), each bubble another
// (world.cpp).
//
// Invariants (under the lock)
//  1. first() is the earliest; every node is not earlier than its parent.
//  2. `previous` of a first child is its parent, of any other child its left sibling.
// Lock order: the timer lock comes before any wait_object's lock (fire functions take channel locks).
// Rejected: an array heap (arming could fail for lack of memory, and destructors arm nothing but cancel much).
#pragma once

#include <runnel/base/raw_lock.hpp>
#include <runnel/sched/timer.hpp>
#include <runnel/sched/waiter.hpp>

#include <utility>

namespace runnel::inline RUNNEL_ABI::sched {

/// What has fired leaves this behind for after the lock's release.
class aftermath {
 public:
  wake_list woken;

  void push(deferred* d) noexcept {
    d->next = nullptr;
    *last_ = d;
    last_ = &d->next;
  }
  bool empty() const noexcept { return woken.empty() && !first_; }
  /// Without locks.
  void run() noexcept {
    woken.wake_all();
    while (deferred* d = first_) {
      first_ = d->next;
      d->run(d);
    }
    last_ = &first_;
  }

 private:
  deferred* first_ = nullptr;
  deferred** last_ = &first_;
};

class timer_heap {
 public:
  detail::raw_lock lock;

  // Under the lock.
  timer_node* first() const noexcept { return root_; }
  std::size_t size() const noexcept { return count_; }

  void insert(timer_node& n, time_point deadline) noexcept {
    n.deadline = deadline;
    n.child = n.sibling = n.previous = nullptr;
    n.armed = true;
    root_ = meld(root_, &n);
    ++count_;
  }

  void take_out(timer_node& n) noexcept {
    if (&n == root_) {
      root_ = meld_pairs(n.child);
      if (root_) root_->previous = nullptr;
    } else {
      if (n.previous->child == &n) {
        n.previous->child = n.sibling;
      } else {
        n.previous->sibling = n.sibling;
      }
      if (n.sibling) n.sibling->previous = n.previous;
      timer_node* children = meld_pairs(n.child);
      if (children) children->previous = nullptr;
      root_ = meld(root_, children);
    }
    n.child = n.sibling = n.previous = nullptr;
    n.armed = false;
    --count_;
  }

  /// Fires the first, which is due at `now`. Returns it where it is armed again, else null: it may be gone.
  timer_node* fire_first(time_point now, aftermath& after) noexcept {
    timer_node& n = *root_;
    take_out(n);
    n.again = false;
    if (deferred* d = n.fire(n, now, after.woken)) after.push(d);
    if (!n.again) return nullptr;
    insert(n, n.deadline);
    return &n;
  }

 private:
  /// Both may be null; neither has siblings.
  static timer_node* meld(timer_node* a, timer_node* b) noexcept {
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
  static timer_node* meld_pairs(timer_node* first) noexcept {
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

  timer_node* root_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace runnel::inline RUNNEL_ABI::sched
