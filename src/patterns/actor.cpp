// Invariants
//  1. The mailbox is closed before the fiber ends, whatever ended it, and emptied after that: nobody waits for an actor
//     that is gone, and no message, nor the reply in it, is left in a box that an address keeps alive.
//  2. end_ is written before the mailbox is closed: who finds it closed by a failure finds the cause.
//  3. What ends the actor passes through after_failure() once; a cancellation of its context is none.
// No lost wake-up of its own: senders, receivers and askers wait in channels, the owner in a join.
// lock_ guards what failures leave behind; no user code runs under it: a failure that is overwritten is destroyed
// outside.
#include <runnel/patterns/actor.hpp>

#include "patterns/flying.hpp"

#include <mutex>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

/// A counter with one writer.
void count(shim::atomic<std::uint64_t>& counter, std::size_t n = 1) noexcept {
  // relaxed: it publishes nothing
  counter.store(counter.load(shim::order::relaxed) + n, shim::order::relaxed);
}

}  // namespace

actor_core::actor_core(const actor_options& o) : options(o) {
  if (o.mailbox == 0) throw_misuse("runnel::actor: a mailbox of 0 takes no message: give it a capacity of at least 1");
  if (o.on_failure == supervision::restart && (o.max_restarts == 0 || o.restart_period.nanoseconds().count() <= 0))
    throw_misuse("runnel::actor: restarts need max_restarts and restart_period above 0; else use supervision::stop");
}

void actor_core::begin() noexcept {
  fiber_.store(this_fiber::get_id(), shim::order::relaxed);  // relaxed: only this fiber can find its own id there
}

void actor_core::count_handled() noexcept { count(handled_); }
void actor_core::count_discarded(std::size_t messages) noexcept { count(discarded_, messages); }
void actor_core::count_dropped() noexcept { dropped_.fetch_add(1, shim::order::relaxed); }    // relaxed: a counter
void actor_core::count_rejected() noexcept { rejected_.fetch_add(1, shim::order::relaxed); }  // relaxed: a counter

supervision actor_core::after_failure(bool has_state) {
  if (flies_as_cancellation()) throw;
  count(failures_);
  std::exception_ptr e = std::current_exception();
  const std::scoped_lock hold(lock_);
  std::swap(last_failure_, e);
  if (options.on_failure == supervision::resume && has_state) return supervision::resume;
  if (options.on_failure != supervision::restart || !may_restart()) throw;
  count(restarts_);
  return supervision::restart;
}

/// Under lock_.
bool actor_core::may_restart() {
  const time_point now = steady_clock::now();
  while (!restarts_at_.empty() && options.restart_period.after(restarts_at_.front()) <= now) restarts_at_.pop_front();
  if (restarts_at_.size() >= options.max_restarts) return false;
  restarts_at_.push_back(now);
  return true;
}

void actor_core::ended_by_exception() noexcept {
  const bool cancellation = flies_as_cancellation();
  const std::scoped_lock hold(lock_);
  was_canceled_ = cancellation;
  if (!cancellation) end_ = std::current_exception();
}

bool actor_core::is_the_caller() const noexcept {
  const this_fiber::id caller = this_fiber::get_id();
  return caller != 0 && fiber_.load(shim::order::relaxed) == caller;  // relaxed: see begin()
}

void actor_core::refuse_itself(const char* what) const {
  if (is_the_caller()) throw_misuse(what);
}

void actor_core::throw_stopped() const {
  std::exception_ptr cause;
  {
    const std::scoped_lock hold(lock_);
    cause = end_;
  }
  throw actor_stopped(std::move(cause));
}

actor_counters actor_core::counters() const noexcept {
  actor_counters c;
  c.handled = handled_.load(shim::order::relaxed);  // relaxed, all of them: counters that publish nothing
  c.failures = failures_.load(shim::order::relaxed);
  c.restarts = restarts_.load(shim::order::relaxed);
  c.dropped = dropped_.load(shim::order::relaxed);  // relaxed: as above
  c.rejected = rejected_.load(shim::order::relaxed);
  c.discarded = discarded_.load(shim::order::relaxed);
  return c;
}

std::exception_ptr actor_core::last_failure() const {
  const std::scoped_lock hold(lock_);
  return last_failure_;
}

void actor_core::rethrow_end(bool aborted) {
  std::exception_ptr e;
  bool canceled_by_others = false;
  {
    const std::scoped_lock hold(lock_);
    e = end_;
    canceled_by_others = was_canceled_ && !aborted;
    taken_ = true;
  }
  if (e) std::rethrow_exception(e);
  if (canceled_by_others) throw task_canceled();
}

void actor_core::drop_failure() noexcept {
  if (end_ && !taken_ && std::uncaught_exceptions() == 0) deliver_unhandled(end_);
}

}  // namespace runnel::inline RUNNEL_ABI::detail
