// Retired objects: kept in a list of each thread, deleted by whoever comes when their grace period is over.
//
// A thread's `fresh` ones become `pending` together, with one new period for all: once there are sizes::rcu_retired of them and
// none are pending. From then on it is a look at the readers whether they are over; each time that so many more have been
// retired, their owner looks. So a thread has at most twice as many, unless a section lasts long, and a heavy fence is paid
// once for each batch.
//
// Runs. Deleters are called outside of all locks, as parts of a run, which the state knows from before it takes anything
// out of a list until its last deleter has returned. So whatever was retired is in a list or belongs to a known run, and
// that is what rcu_barrier() waits for: it takes what is in lists itself, and then waits until each run that it finds has
// ended. It is in none itself while it waits, so two of them do not wait for each other.
// A deleter that retires does not delete: it is in a run, whose loop comes round. So nothing recurs.
//
// No lost wake-up. rcu_barrier() looks for older runs and links its node in one critical section of the state's lock, a run
// ends under that lock and claims the nodes that wait for no older one.
#include "base/sizes.hpp"
#include "fiber/sanitizer.hpp"
#include "lockfree/rcu_state.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/sched/operation.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

using sanitizer::hb_acquire;
using sanitizer::hb_release;

namespace {

/// Deletes what is in the list, which is then empty.
void destroy_all(rcu_list& l) noexcept {
  while (rcu_retired* r = l.pop()) {
    hb_acquire(r);
    r->destroy(*r);
  }
}

/// What of r's is over. Begins a grace period for the fresh ones where there are enough of them.
rcu_list take_ripe(rcu_state& s, rcu_reader& r, rcu_list& adopted) noexcept {
  rcu_list ripe;
  const raw_guard hold(r.lock);
  r.fresh.append(adopted);
  if (!r.pending.empty() && s.is_over(r.period)) ripe.append(r.pending);
  if (r.pending.empty() && r.fresh.size() >= sizes::rcu_retired) {
    r.pending.append(r.fresh);
    r.period = s.begin_period();
    if (s.is_over(r.period)) ripe.append(r.pending);
  }
  return ripe;
}

}  // namespace

void retire(rcu_retired& r, rcu_domain& domain) noexcept {
  sched::choice_point(sched::operation::release, &domain);
  hb_release(&r);  // what the caller did with it happens before its deleter
  sched::agent& caller = sched::this_agent();
  rcu_reader& mine = rcu_retirer();
  bool enough = false;
  {
    const raw_guard hold(mine.lock);
    mine.fresh.push(r);
    enough = mine.fresh.size() % sizes::rcu_retired == 0;
  }
  if (enough && !sched::in_read_section(caller)) the_rcu().reclaim(mine, caller);
}

void rcu_state::reclaim(rcu_reader& r, sched::agent& caller) noexcept {
  for (bool found = true; found;) {
    rcu_run run(caller);
    rcu_list adopted;
    if (!begin_run(run, adopted)) return;
    rcu_list ripe = take_ripe(*this, r, adopted);
    found = !ripe.empty();
    destroy_all(ripe);
    end_run(run);
  }
}

/// False: the caller is in one already, so it is a deleter. Hands over what threads have left that ended.
bool rcu_state::begin_run(rcu_run& r, rcu_list& adopted) noexcept {
  const raw_guard hold(lock);
  if (in_run(*r.who)) return false;
  r.number = ++last_run;
  runs.push_back(r);
  // What schedules have left is not for a later one, which would not repeat itself.
  if (!exploring || sched::number_of_this_world() == 0) adopted.append(orphans);
  return true;
}

void rcu_state::end_run(rcu_run& r) noexcept {
  sched::wake_list woken;
  {
    const raw_guard hold(lock);
    hb_release(&runs);
    runs.remove(r);
    const std::uint64_t oldest_run = runs.empty() ? nobody : runs.front()->number;
    const auto over = [oldest_run](const sched::wait_node& n) { return n.note < oldest_run; };
    while (sched::wait_node* n = barriers.claim_front_if(over)) woken.push(*n->owner);
  }
  woken.wake_all();
}

/// Under the lock.
bool rcu_state::in_run(const sched::agent& a) noexcept {
  bool found = false;
  runs.for_each([&](const rcu_run& r) { found |= r.who == &a; });
  return found;
}

void rcu_state::wait_for_runs(sched::agent& caller) noexcept {
  sched::waiter w(caller);
  sched::wait_node n(w);
  {
    const raw_guard hold(lock);
    if (runs.empty()) {
      hb_acquire(&runs);
      return;
    }
    n.note = last_run;
    w.may_be_ended_from_outside();
    barriers.push_back(n);
  }
  sched::park(w, sched::wait_reason::rcu, this);
  hb_acquire(&runs);
}

void rcu_state::barrier(sched::agent& caller) noexcept {
  rcu_run run(caller);
  rcu_list all;
  if (!begin_run(run, all))
    fatal("rcu_barrier() inside a deleter, for whose end it would wait for ever: rcu_synchronize() may be called there");
  for_each_reader([&](rcu_reader& r) {
    const raw_guard hold(r.lock);
    all.append(r.pending);
    all.append(r.fresh);
  });
  if (!all.empty()) {
    wait_for(begin_period(), caller);
    destroy_all(all);
  }
  end_run(run);
  wait_for_runs(caller);
}

void rcu_state::strike_off(rcu_reader& r) noexcept {
  const raw_guard hold(lock);
  const raw_guard hold_lists(r.lock);
  orphans.append(r.pending);
  orphans.append(r.fresh);
  r.key.store(nullptr, shim::order::relaxed);  // relaxed: read under the lock by who looks for a free one
}

/// In a forked child: nobody but `self` waits or runs deleters. Under the lock.
void rcu_state::forget_others(const sched::agent& self) noexcept {
  while (sched::wait_node* n = waiting.front()) waiting.remove(*n);
  while (sched::wait_node* n = barriers.front()) barriers.remove(*n);
  intrusive_list<rcu_run, rcu_run_tag> own;
  while (rcu_run* r = runs.pop_front())
    if (r->who == &self) own.push_back(*r);
  while (rcu_run* r = own.pop_front()) runs.push_back(*r);
}

}  // namespace runnel::inline RUNNEL_ABI::detail
