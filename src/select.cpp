// select over any mix of cases. First a look without locks: one of the cases that seem to be ready is tried under the lock of
// its own object. Else all the locks of the objects it is about, in one order, then one look, then either one case takes
// place or all are registered, within the same critical section.
//
// Linearization point: the moment at which the lock of the case that takes place is held; else the moment all are. So
// `otherwise` runs only if no case was ready at that instant (a single case may tell so without its lock), and a select
// never meets itself: its nodes are linked after it has looked.
// Lock order: by wait_object::order(), a number given once (not the address: runs must be repeatable).
// Exactly one case: the parked select has one waiter; whoever ends it claims that once, with the index of the case.
// Fairness: uniform among the ready, or those that seemed to be, by reservoir sampling over one pass.
// Rejected: registering case by case with one lock at a time; it needs a phase in which a select cannot be claimed and
// cannot promise the instant of `otherwise` without validating reads: docs/design/0023.
// Source: Go's selectgo (src/runtime/select.go).
#include <runnel/detail/select_core.hpp>

#include "channel.hpp"

#include <runnel/base/random.hpp>
#include <runnel/sched/operation.hpp>

#include <algorithm>
#include <memory>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

/// The distinct objects of the cases, in lock order.
class lock_set {
 public:
  explicit lock_set(std::span<select_case* const> cases) {
    if (cases.size() > in_place) {
      heap_ = std::make_unique<sched::wait_object*[]>(cases.size());
      objects_ = heap_.get();
    }
    for (select_case* c : cases) {
      sched::wait_object* o = c->enabled ? c->object() : nullptr;
      if (!o) continue;
      static_cast<void>(o->order());  // those that have no number get one in the order of the cases
      objects_[n_++] = o;
    }
    const auto before = [](auto* a, auto* b) { return a->order() < b->order(); };
    if (!std::is_sorted(objects_, objects_ + n_, before)) std::sort(objects_, objects_ + n_, before);  // mostly it is
    n_ = static_cast<std::size_t>(std::unique(objects_, objects_ + n_) - objects_);
  }
  void lock() noexcept {
    for (std::size_t i = 0; i < n_; ++i) objects_[i]->lock.lock();
  }
  void unlock() noexcept {
    for (std::size_t i = n_; i > 0; --i) objects_[i - 1]->lock.unlock();
  }

 private:
  static constexpr std::size_t in_place = 16;
  sched::wait_object* small_[in_place];
  std::unique_ptr<sched::wait_object*[]> heap_;
  sched::wait_object** objects_ = small_;
  std::size_t n_ = 0;
};

constexpr std::size_t none = ~std::size_t{0};

/// Draws uniformly from as many as are offered: one draw, and more only beyond what it keeps (reservoir sampling).
class draw {
 public:
  void offer(std::size_t i) {
    const std::uint32_t at = count_ < kept ? count_ : random_below(count_ + 1);
    if (at < kept) offered_[at] = i;
    ++count_;
  }
  std::size_t result() const {
    if (count_ <= 1) return count_ == 0 ? none : offered_[0];
    return offered_[random_below(std::min(count_, kept))];
  }

 private:
  static constexpr std::uint32_t kept = 16;
  std::size_t offered_[kept];
  std::uint32_t count_ = 0;
};

bool takes_part(const select_case& c) noexcept { return c.enabled && !c.otherwise; }
bool has_come(const select_case& c, time_point now) noexcept { return c.deadline() <= now && c.deadline() != never; }
time_point now_if_needed(time_point earliest) { return earliest == never ? time_point::min() : steady_clock::now(); }

/// A uniformly random one of the ready cases, or none.
std::size_t pick(std::span<select_case* const> cases, time_point earliest) {
  const time_point now = now_if_needed(earliest);
  draw among;
  for (std::size_t i = 0; i < cases.size(); ++i)
    if (takes_part(*cases[i]) && (has_come(*cases[i], now) || cases[i]->ready())) among.offer(i);
  return among.result();
}

/// A uniformly random one of the cases whose time has come, or none.
std::size_t pick_timed_out(std::span<select_case* const> cases) {
  const time_point now = steady_clock::now();
  draw among;
  for (std::size_t i = 0; i < cases.size(); ++i)
    if (cases[i]->enabled && has_come(*cases[i], now)) among.offer(i);
  return among.result();
}

/// Does the case if it is ready, under the lock of its object alone.
bool try_alone(select_case& c) {
  sched::wake_list woken;
  sched::wait_object* const o = c.object();
  if (!o) return c.commit(woken);
  o->lock.lock();
  bool done = false;
  try {
    done = c.ready() && c.commit(woken);
  } catch (...) {
    o->lock.unlock();
    woken.wake_all();
    throw;
  }
  o->lock.unlock();
  woken.wake_all();
  return done;
}

/// Without all the locks: the case that has taken place; `otherwise`, if there is one, when its one alternative is not ready;
/// or none, and it is to be tried with all locks.
std::size_t try_one(std::span<select_case* const> cases, time_point earliest, std::size_t otherwise) {
  const time_point now = now_if_needed(earliest);
  draw among;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    select_case& c = *cases[i];
    if (!takes_part(c)) continue;
    const glance seen = has_come(c, now) ? glance::ready : c.deadline() != never ? glance::not_ready : c.look();
    if (seen == glance::unknown) return none;
    if (seen == glance::ready) among.offer(i);
  }
  const std::size_t chosen = among.result();
  if (chosen != none) return try_alone(*cases[chosen]) ? chosen : none;
  return otherwise;
}

void undo(std::span<select_case* const> cases) noexcept {
  for (select_case* c : cases)
    if (c->enabled) c->dequeue(c->node);
}

/// Registers w with all cases. False, and with none, when one has become ready without its lock (a one-to-one channel).
bool enqueue(std::span<select_case* const> cases, sched::waiter& w) {
  std::size_t i = 0;
  try {
    for (; i < cases.size(); ++i) {
      select_case& c = *cases[i];
      if (!c.enabled) continue;
      c.node.owner = &w;
      c.node.token = static_cast<sched::claim_token>(i);
      if (c.enqueue(c.node)) continue;
      undo(cases.first(i));
      return false;
    }
  } catch (...) {
    undo(cases.first(i));
    throw;
  }
  return true;
}

/// After a wait: unlinks all cases but the winner, one lock at a time. Those that wait again stay expected at their objects.
void dequeue(std::span<select_case* const> cases, std::size_t winner, bool again) noexcept {
  for (std::size_t i = 0; i < cases.size(); ++i) {
    select_case& c = *cases[i];
    sched::wait_object* o = c.enabled && i != winner ? c.object() : nullptr;
    if (!o) continue;
    o->lock.lock();
    c.dequeue(c.node);
    const bool last = !again && c.returned();
    o->lock.unlock();
    if (last) c.destroy_object();
  }
}

/// Releases the locks at the end of a select that was expected to return to its objects.
void leave(std::span<select_case* const> cases, lock_set& locks, bool expected) noexcept {
  if (!expected) return locks.unlock();
  for (select_case* c : cases) c->gone = c->enabled && c->object() && c->returned();
  locks.unlock();
  for (select_case* c : cases)
    if (c->gone) c->destroy_object();
}

}  // namespace

std::size_t run_select(std::span<select_case* const> cases, context_node* extra) {
  sched::choice_point(sched::operation::select, nullptr);
  std::size_t otherwise = none, alternatives = 0;
  time_point earliest = never;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (!cases[i]->enabled) continue;
    if (cases[i]->otherwise) {
      otherwise = i;
    } else {
      ++alternatives;
    }
    earliest = std::min(earliest, cases[i]->deadline());
  }
  if (otherwise == none) check_canceled(extra);
  if (otherwise == none || alternatives <= 1) {  // what `otherwise` says of several needs all locks
    const std::size_t chosen = try_one(cases, earliest, otherwise);
    if (chosen != none) {
      if (otherwise == none) sched::spend_turn();
      return chosen;
    }
  }
  lock_set locks(cases);
  sched::waiter w;
  for (bool expected = false;;) {  // at the objects: a wait that has to be repeated is not over
    sched::wake_list woken;
    locks.lock();
    try {
      do {
        std::size_t chosen;
        do chosen = pick(cases, earliest);
        while (chosen != none && !cases[chosen]->commit(woken));
        if (chosen != none || otherwise != none) {
          leave(cases, locks, expected);
          woken.wake_all();
          if (otherwise == none) sched::spend_turn();
          return chosen != none ? chosen : otherwise;
        }
      } while (!enqueue(cases, w));
    } catch (...) {
      leave(cases, locks, expected);
      woken.wake_all();
      throw;
    }
    if (!std::exchange(expected, true)) {
      for (select_case* c : cases)
        if (c->enabled) c->expect_return();
    }
    locks.unlock();
    const sched::claim_token t = wait(w, sched::wait_reason::select, nullptr, earliest, extra);
    std::size_t timed_out = none;
    if (t == sched::timed_out) timed_out = pick_timed_out(cases);
    const bool over = t < cases.size() || t == sched::was_canceled || timed_out != none;
    dequeue(cases, t, !over);
    if (t == sched::was_canceled) throw_wait_canceled(extra);
    if (t < cases.size()) {
      cases[t]->finish(cases[t]->node);
      return t;
    }
    if (over) return timed_out;
    w.rearm();  // retry: somebody could not finish with us
  }
}

// ---- channels --------------------------------------------------------------------------------------------------

sched::wait_object* receive_case_core::object() noexcept { return core_; }
bool receive_case_core::ready() { return core_->receive_ready(); }
glance receive_case_core::look() noexcept { return core_->seems_empty() ? glance::not_ready : glance::ready; }
bool receive_case_core::commit(sched::wake_list& woken) {
  status_ = core_->try_receive_locked(element_, woken);
  return status_ != channel_status::would_block;
}
bool receive_case_core::enqueue(sched::wait_node& n) {
  core_->enqueue_receiver(n, element_);
  return true;
}
void receive_case_core::dequeue(sched::wait_node& n) noexcept { core_->remove_receiver(n); }
void receive_case_core::finish(sched::wait_node& n) { status_ = channel_core::finish_receive(core_, n); }
void receive_case_core::expect_return() noexcept { core_->expect_return(); }
bool receive_case_core::returned() noexcept { return core_->returned(); }
void receive_case_core::destroy_object() noexcept { core_->destroy(); }

sched::wait_object* send_case_core::object() noexcept { return core_; }
bool send_case_core::ready() { return core_->send_ready(); }
glance send_case_core::look() noexcept { return core_->seems_full() ? glance::not_ready : glance::ready; }
bool send_case_core::commit(sched::wake_list& woken) {
  status_ = core_->try_send_locked(element_, woken);
  return status_ != channel_status::would_block;
}
bool send_case_core::enqueue(sched::wait_node& n) {
  core_->enqueue_sender(n, element_, error_);
  return true;
}
void send_case_core::dequeue(sched::wait_node& n) noexcept { core_->remove_sender(n); }
void send_case_core::finish(sched::wait_node& n) { status_ = channel_core::finish_send(core_, n, error_); }
void send_case_core::expect_return() noexcept { core_->expect_return(); }
bool send_case_core::returned() noexcept { return core_->returned(); }
void send_case_core::destroy_object() noexcept { core_->destroy(); }

// ---- the others ------------------------------------------------------------------------------------------------

bool join_case_core::ready() {
  if (!task_->done_locked()) return false;
  task_->see_end();
  return true;
}

bool readiness_case_core::enqueue(sched::wait_node& n) {
  // ready() has just said no, so a descriptor that the kernel does not watch cannot be one that is always ready.
  static_cast<void>(sched::watch(fd_, what_, n));
  return true;
}

}  // namespace runnel::inline RUNNEL_ABI::detail
