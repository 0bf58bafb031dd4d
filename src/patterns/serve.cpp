// Invariants
//  1. Who accepts is one fiber, below the handlers' group: what cancels the group cancels the accepting.
//  2. A request has a slot before it is accepted, and keeps it until its handler and the request itself have ended.
//  3. A handler is counted as active from before its start, under lock_, until its end; one that ends while stopping_
//     is drained, one that ends after cut_off_ is canceled, whatever it was doing.
// Order of the end: the accepting fiber, the handlers, then what they use. acceptor_ is declared last, handler_ before
// the group.
// No lost wake-up of its own: it waits in a semaphore, the source, a join and the group.
// No user code runs under lock_.
#include <runnel/patterns/serve.hpp>

#include "patterns/flying.hpp"

#include <algorithm>
#include <mutex>

namespace runnel::inline RUNNEL_ABI {

namespace {

std::ptrdiff_t slots_of(const serve_options& o) {
  if (o.limit == 0) detail::throw_misuse("runnel::serve: a limit of 0 would never accept a request");
  return static_cast<std::ptrdiff_t>(std::min<std::size_t>(o.limit, static_cast<std::size_t>(semaphore::max())));
}

duration until(time_point deadline) noexcept { return duration::between(steady_clock::now(), deadline); }

}  // namespace

server::server(const serve_options& options)
    : options_(options),
      name_(options.name),
      slots_(slots_of(options)),
      handlers_(task_group_options{.name = options.name}) {}

server::~server() {
  acceptor_ = {};
  if (accept_error_ && !taken_ && std::uncaught_exceptions() == 0) detail::deliver_unhandled(accept_error_);
}

void server::begin_handler() {
  const std::scoped_lock hold(lock_);
  ++counters_.accepted;
  ++counters_.active;
}

void server::end_handler() noexcept {
  const std::scoped_lock hold(lock_);
  --counters_.active;
  if (cut_off_) {
    ++report_.canceled;
  } else if (stopping_) {
    ++report_.drained;
  }
}

/// In a catch block of a handler: true where the failure is the server's.
bool server::ends_by_failure() {
  if (detail::flies_as_cancellation()) return false;
  {
    const std::scoped_lock hold(lock_);
    ++counters_.failed;
  }
  if (options_.on_failure == handler_failure::stop_serving) return true;
  const std::exception_ptr e = std::current_exception();
  if (!options_.on_error) {
    detail::deliver_unhandled(e);
    return false;
  }
  try {
    options_.on_error(e);
  } catch (...) {
    if (!detail::flies_as_cancellation()) detail::deliver_unhandled(std::current_exception());
  }
  return false;
}

void server::accept_failed() noexcept {
  if (detail::flies_as_cancellation()) return;
  const std::scoped_lock hold(lock_);
  accept_error_ = std::current_exception();
}

/// The cancellation comes first: from the moment of the flag on, no slot is given to a new request, so that no more are
/// drained or canceled than had a slot then.
void server::stop() noexcept {
  acceptor_.cancel();
  const std::scoped_lock hold(lock_);
  stopping_ = true;
}

void server::cut_off() noexcept {
  {
    const std::scoped_lock hold(lock_);
    cut_off_ = true;
  }
  handlers_.cancel();
}

/// The one who waits was canceled, and throws that; a failure of the server has nobody else to go to.
void server::end_now() noexcept {
  cut_off();
  const cancel_shield shield;
  acceptor_.cancel();
  acceptor_.join();
  try {
    handlers_.wait();
  } catch (...) {
    detail::deliver_unhandled(std::current_exception());
  }
}

void server::rethrow_accept_error() {
  std::exception_ptr e;
  {
    const std::scoped_lock hold(lock_);
    e = accept_error_;
    taken_ = true;
  }
  if (e) std::rethrow_exception(e);
}

void server::refuse_own_fiber() const {
  const this_fiber::id caller = this_fiber::get_id();
  const bool accepts = caller != 0 && accepting_.load(shim::order::relaxed) == caller;  // relaxed: see the constructor
  if (accepts || detail::runs_in_task_of(handlers_))
    detail::throw_misuse("runnel::server: a handler, or the source, waits for the end of its own server, and so for "
                         "itself: let it call stop(), and who made the server wait");
}

shutdown_report server::shutdown(duration limit) {
  refuse_own_fiber();
  const time_point deadline = limit.from_now();
  stop();
  try {
    acceptor_.join();
    if (!handlers_.wait_for(until(deadline))) {
      cut_off();
      handlers_.wait();
    }
  } catch (...) {
    if (detail::flies_as_cancellation()) end_now();
    throw;
  }
  rethrow_accept_error();
  const std::scoped_lock hold(lock_);
  return report_;
}

void server::wait() {
  refuse_own_fiber();
  try {
    acceptor_.join();
    handlers_.wait();
  } catch (...) {
    if (detail::flies_as_cancellation()) end_now();
    throw;
  }
  rethrow_accept_error();
}

server_counters server::counters() const {
  const std::scoped_lock hold(lock_);
  return counters_;
}

bool shutdown(task_group& group, duration limit) {
  if (group.wait_for(limit)) return true;
  group.cancel();
  group.wait();
  return false;
}

}  // namespace runnel::inline RUNNEL_ABI
