// A pool is a bounded channel of jobs, and workers in a task group that receive from it.
//
// Ends. Closing the queue refuses new jobs and releases who waits to submit; workers go on until it is empty (drain).
// Canceling the group, too, interrupts the workers; what is still queued is then taken out and destroyed
// (stop_at_once), by whoever stops, and by each worker that ends by an exception: so when somebody cancels the context
// above, or a worker finds no memory, nobody is left waiting in submit or for a job.
// Retiring. A worker receives under a context of its own besides; canceling it makes it leave before its next job, not
// in the middle of one, and a canceled receive has taken nothing.
// A job with a handle. queued -> running -> ended, or queued -> ended when it is canceled first or discarded; under the
// job's lock, so that a cancellation meets the context of the job that it is for, and not the next one's. The entry of
// a job that ended in the queue stays there until a worker drops it.
// Order: one_joins_, under which inputs that are discarded end, so that they must not end the pool; then lock_. Under a
// job's lock its context is canceled, which runs nothing of the user.
#include <runnel/detail/worker_pool_core.hpp>

#include <runnel/channel.hpp>
#include <runnel/detail/task_core.hpp>

#include <mutex>

namespace runnel::inline RUNNEL_ABI::detail {

// ---- jobs ------------------------------------------------------------------------------------------------------

bool job_core::begin(const derived_context& running) noexcept {
  const std::lock_guard hold(lock_);
  if (state_ != state::queued) return false;
  state_ = state::running;
  running_ = &running;
  return true;
}

/// Under the lock.
void job_core::settle(state s) noexcept {
  state_ = s;
  running_ = nullptr;
  done_.set();
}

void job_core::end(std::exception_ptr e, bool pool_canceled) noexcept {
  bool by_cancellation = false;
  if (e) {
    try {
      std::rethrow_exception(e);
    } catch (const canceled&) {
      by_cancellation = true;
    } catch (...) {
    }
  }
  const std::lock_guard hold(lock_);
  const bool as_asked = by_cancellation && (cancel_asked_ || pool_canceled);
  error_ = as_asked ? std::make_exception_ptr(task_canceled()) : std::move(e);
  settle(state::ended);
}

void job_core::discard() noexcept {
  const std::lock_guard hold(lock_);
  if (state_ != state::queued) return;
  never_ran_ = true;
  settle(state::ended);
}

void job_core::cancel() noexcept {
  const std::lock_guard hold(lock_);
  cancel_asked_ = true;
  if (state_ == state::queued) {
    never_ran_ = true;
    settle(state::ended);
  } else if (running_) {
    // The handle is the worker's; canceling by a copy of the right is what a const one cannot do.
    const_cast<derived_context*>(running_)->cancel.cancel();
  }
}

void job_core::join_shielded() const noexcept {
  const cancel_shield to_the_end;
  done_.wait();
}

void job_core::rethrow() {
  if (taken_) throw_misuse("runnel::job::get: the result was taken before");
  taken_ = true;
  if (never_ran_) throw task_canceled();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void job_core::drop_error() noexcept {
  if (taken_ || !error_ || std::uncaught_exceptions() != 0) return;
  try {
    std::rethrow_exception(error_);
  } catch (const task_canceled&) {
  } catch (...) {
    deliver_unhandled(error_);
  }
}

// ---- the pool --------------------------------------------------------------------------------------------------

worker_pool_core::worker_pool_core(const worker_pool_options& o)
    : on_failure_(o.on_failure),
      group_({.name = o.name.empty() ? std::string_view("worker_pool") : o.name}),
      context_(group_.get_context()) {
  if (o.workers == 0) throw_misuse("runnel::worker_pool: no workers would never begin: give 1 or more");
}

void worker_pool_core::resize(std::size_t workers) {
  if (workers == 0)
    throw_misuse("runnel::worker_pool::resize: no workers would never begin: give 1 or more, or shut it down");
  std::vector<cancel_handle> retired;
  const std::lock_guard hold(lock_);
  if (stopped_) throw pool_stopped();
  while (workers_.size() > workers) {
    retired.push_back(std::move(workers_.back()));
    workers_.pop_back();
  }
  while (workers_.size() < workers) {
    auto own = derive_cancel(context_);
    group_.go([this, retired_when = std::move(own.ctx)] {
      try {
        work(retired_when);
      } catch (...) {  // canceled, a failure that stops the pool, or no memory
        stop_at_once();
        throw;
      }
    });
    workers_.push_back(std::move(own.cancel));
  }
}

std::size_t worker_pool_core::size() const {
  const std::lock_guard hold(lock_);
  return workers_.size();
}

void worker_pool_core::job_failed(bool has_handle) {
  if (on_failure_ == job_failure::stays_with_its_job) {
    if (!has_handle) deliver_unhandled(std::current_exception());
  } else if (on_failure_ == job_failure::collected) {
    const std::lock_guard hold(lock_);
    collected_.push_back(std::current_exception());
  } else {
    throw;  // the worker stops the pool, the group cancels the other workers, and wait() rethrows it
  }
}

void worker_pool_core::stop_at_once() noexcept {
  {
    const std::lock_guard hold(lock_);
    stopped_ = true;
  }
  close_queue();
  discard_queued();
}

void worker_pool_core::refuse_own_job() const {
  if (runs_in_task_of(group_))
    throw_misuse("runnel::worker_pool: a job waits for the end of its own pool, and so for itself: "
                 "let who made the pool end it");
}

bool worker_pool_core::shutdown(duration limit) {
  refuse_own_job();
  {
    const std::lock_guard hold(lock_);
    stopped_ = true;
  }
  close_queue();
  const time_point deadline = limit.from_now();
  bool in_time = false;
  try {
    in_time = one_joins_.try_acquire_until(deadline);
  } catch (const canceled&) {  // while somebody else ends it: as by wait_for() below
    abort();
    throw;
  }
  if (in_time) {
    const permit one = permit::adopt(one_joins_);
    struct close_at_end {
      worker_pool_core& pool;
      ~close_at_end() {
        pool.discard_queued();  // where the workers were canceled; else there is nothing
        pool.close_results();
      }
    } then{*this};
    in_time = group_.wait_for(duration::between(steady_clock::now(), deadline));
    if (!in_time) {
      group_.cancel();
      discard_queued();
      group_.wait();
    }
  } else {
    abort();
  }
  rethrow_collected();
  return in_time;
}

void worker_pool_core::rethrow_collected() {
  std::vector<std::exception_ptr> errors;
  {
    const std::lock_guard hold(lock_);
    errors = collected_;
  }
  if (!errors.empty()) throw task_group_error(std::move(errors));
}

void worker_pool_core::abort() noexcept {
  stop_at_once();
  group_.cancel();
  const cancel_shield to_the_end;
  const permit one(one_joins_);
  try {
    group_.wait();
  } catch (...) {  // kept by the group, for whoever waits again
  }
  close_results();
}

}  // namespace runnel::inline RUNNEL_ABI::detail
