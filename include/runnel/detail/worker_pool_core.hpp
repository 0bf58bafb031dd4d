// What of a worker_pool and its jobs does not depend on their types: src/patterns/worker_pool.cpp.
#pragma once

#include <runnel/context.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/sync/mutex.hpp>
#include <runnel/sync/semaphore.hpp>
#include <runnel/task_group.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace runnel::inline RUNNEL_ABI {

/// What the failure of a job does, besides reaching its handle.
enum class job_failure : std::uint8_t {
  stays_with_its_job,  ///< nothing; that of a job without a handle goes to the unhandled hook
  collected,           ///< drain() and shutdown() throw task_group_error with all of them
  stops_the_pool,      ///< cancels what runs, destroys what is queued; drain() and shutdown() rethrow it
};

struct worker_pool_options {
  std::size_t workers = 4;   ///< jobs that run at the same time; resize() changes it
  std::size_t queue = 64;    ///< jobs that wait; a job more makes submit wait
  std::size_t results = 64;  ///< results of posted jobs that wait for a reader
  job_failure on_failure = job_failure::stays_with_its_job;
  std::string_view name = {};  ///< of the workers, in reports
};

/// Given to a pool that takes no more: it drains, was shut down or aborted, or was stopped by a failure.
class pool_stopped : public std::runtime_error {
 public:
  pool_stopped() : std::runtime_error("runnel::worker_pool: it was stopped and takes no more jobs") {}
};

namespace detail {

/// One job that somebody has a handle of.
class job_core {
 public:
  job_core() = default;
  job_core(const job_core&) = delete;
  job_core& operator=(const job_core&) = delete;

  /// The worker begins: from now on a cancellation is for `running`. False: it was canceled before.
  bool begin(const derived_context& running) noexcept;
  /// The worker has ended it, with its result in place or by `e`; canceled where it was asked to be.
  void end(std::exception_ptr e, bool pool_canceled) noexcept;
  /// It will not be begun any more.
  void discard() noexcept;

  void cancel() noexcept;
  bool done() const noexcept { return done_.is_set(); }
  void join() const { done_.wait(); }
  void join(const context& ctx) const { done_.wait(ctx); }
  void join_shielded() const noexcept;
  /// Rethrows what ended it.
  void rethrow();
  /// A failure that nobody took goes to the unhandled hook.
  void drop_error() noexcept;

 protected:
  ~job_core() = default;

 private:
  enum class state : std::uint8_t { queued, running, ended };
  void settle(state s) noexcept;
  mutex lock_;
  state state_ = state::queued;               ///< under lock_
  bool cancel_asked_ = false;                 ///< under lock_
  const derived_context* running_ = nullptr;  ///< under lock_
  std::exception_ptr error_;                  ///< written before done_
  bool never_ran_ = false;                    ///< written before done_
  bool taken_ = false;                        ///< the handle's
  event done_;
};

/// The workers of a pool, and its end.
class worker_pool_core {
 public:
  explicit worker_pool_core(const worker_pool_options& o);
  worker_pool_core(const worker_pool_core&) = delete;
  worker_pool_core& operator=(const worker_pool_core&) = delete;

  void resize(std::size_t workers);
  std::size_t size() const;
  bool shutdown(duration limit);
  void abort() noexcept;
  /// Throws misuse for a job, which would wait for its own end.
  void refuse_own_job() const;

 protected:
  ~worker_pool_core() = default;
  /// The loop of one worker, until the queue is closed and empty, or one of the two contexts is canceled.
  virtual void work(const context& retired) = 0;
  virtual void close_queue() noexcept = 0;
  /// Destroys what is queued.
  virtual void discard_queued() noexcept = 0;
  virtual void close_results() noexcept = 0;

  bool is_canceled() const { return context_.is_canceled(); }
  const context& pool_context() const noexcept { return context_; }
  /// In a catch block: a job has failed. Rethrows where that stops the pool.
  void job_failed(bool has_handle);

 private:
  void stop_at_once() noexcept;
  void rethrow_collected();
  const job_failure on_failure_;
  mutable mutex lock_;
  std::vector<cancel_handle> workers_;           ///< under lock_; who is retired loses its handle
  bool stopped_ = false;                         ///< under lock_
  std::vector<std::exception_ptr> collected_;    ///< under lock_
  semaphore one_joins_{1};
  task_group group_;
  context context_;
};

}  // namespace detail
}  // namespace runnel::inline RUNNEL_ABI
