// worker_pool: a fixed number of workers, a bounded queue of jobs for one function, and an end in order.
//
//   runnel::worker_pool<request, response> pool(handle, {.workers = 8, .queue = 100});
//   auto answer = pool.submit(r);  // waits while the queue is full
//   use(answer.get());             // the result, or the exception
//   pool.shutdown(10s);            // what is queued is done, in 10 s at most
//
// Use when: jobs come over the life of a program, at most so many run, and the end has a rule. When not: the jobs are
// known (a task_group with a limit, fan_out), or their results feed another stage (pipeline).
// Guarantees: each job runs once, on one worker, in the order of the queue, or is destroyed unrun when it is canceled
// or the pool aborts. Nothing outlives the pool: its destructor aborts. A job never outlives its handle: ~job cancels
// it and waits.
// Thread-safety: everything from any fiber or thread, jobs included, but drain, shutdown and abort not from a job. The
// function is called by several workers at once.
// Blocking and cancellation: the workers run under the context that was ambient when the pool was made, not under their
// submitter's. submit and post wait while the queue is full, posted results while nobody reads them.
// Errors: pool_stopped after its end has begun; misuse for no workers, and for a job that would wait for its own pool.
// For failures see job_failure.
// Cost: a message of a channel a job, and an allocation where moving an input may throw; one with a handle also an
// allocation and a few short locks.
// Source: Go's worker pools; Java's ThreadPoolExecutor for the ends.
#pragma once

#include <runnel/base/refill.hpp>
#include <runnel/channel.hpp>
#include <runnel/detail/joined_scope.hpp>
#include <runnel/detail/worker_pool_core.hpp>
#include <runnel/error.hpp>

#include <functional>
#include <memory>
#include <optional>

namespace runnel::inline RUNNEL_ABI {

namespace detail {

template <class Out>
class job_state final : public job_core {
 public:
  std::optional<std::conditional_t<std::is_void_v<Out>, unit, Out>> value;  ///< written before it is done
};

}  // namespace detail

/// The right to one job's result. Move-only; an empty one (moved from) throws misuse.
template <class Out>
class [[nodiscard("the job is cancelled and waited for at once: keep it, or post() it")]] job {
 public:
  explicit job(std::shared_ptr<detail::job_state<Out>> s) noexcept : state_(std::move(s)) {}
  job(job&&) noexcept = default;
  /// Cancels and waits for the job that is overwritten.
  job& operator=(job&& o) noexcept {
    job old(std::move(*this));
    state_ = std::move(o.state_);
    return *this;
  }
  /// Cancels the job and waits for it, shielded. A failure that nobody took goes to the unhandled hook.
  RUNNEL_JOINS ~job() {
    if (!state_) return;
    state_->cancel();
    state_->join_shielded();
    state_->drop_error();
  }

  /// The result, or the exception that ended it; task_canceled when a cancellation or the pool's abort did. Once.
  /// - blocks: until the job has ended
  /// - cancel: throws canceled when the caller is canceled; the job goes on
  /// - threads: any, one at a time
  RUNNEL_PARKS Out get() {
    checked().join();
    return taken();
  }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until the job has ended
  /// - cancel: throws canceled; the job goes on
  /// - threads: any, one at a time
  RUNNEL_PARKS Out get(const context& ctx) {
    checked().join(ctx);
    return taken();
  }
  /// - blocks: until the job has ended
  /// - cancel: throws canceled when the caller is canceled; the job goes on
  /// - threads: any, one at a time
  RUNNEL_PARKS RUNNEL_JOINS void join() const { checked().join(); }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until the job has ended
  /// - cancel: throws canceled; the job goes on
  /// - threads: any, one at a time
  RUNNEL_PARKS RUNNEL_JOINS void join(const context& ctx) const { checked().join(ctx); }
  bool done() const noexcept { return state_ && state_->done(); }
  /// One that is queued never runs; one that runs has its context canceled.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void cancel() noexcept {
    if (state_) state_->cancel();
  }

 private:
  detail::job_state<Out>& checked() const {
    if (!state_) detail::throw_misuse("runnel::job: used after it was moved from");
    return *state_;
  }
  Out taken() {
    state_->rethrow();
    if constexpr (!std::is_void_v<Out>) return std::move(*state_->value);
  }
  std::shared_ptr<detail::job_state<Out>> state_;
};

template <class In, class Out = void>
class worker_pool {
  static_assert(std::is_object_v<In>, "runnel::worker_pool: an input is a value; a pointer is one, and so is unit{}");
  static_assert(!std::is_reference_v<Out>, "runnel::worker_pool: a result is a value; a pointer is one");
  static constexpr bool brings = !std::is_void_v<Out>;
  using result = std::conditional_t<brings, Out, unit>;

 public:
  /// Starts the workers; each job is f(input).
  template <class F>
    requires std::is_invocable_r_v<Out, std::decay_t<F>&, In>
  explicit worker_pool(F&& f, worker_pool_options options = {}) : worker_pool(erase(std::forward<F>(f)), options) {
    state_.resize(options.workers);  // should one not start, the destructor ends those that did
  }
  worker_pool(const worker_pool&) = delete;
  worker_pool& operator=(const worker_pool&) = delete;
  /// abort().
  RUNNEL_JOINS ~worker_pool() { state_.abort(); }

  /// A job with a handle. Throws pool_stopped.
  /// - blocks: while the queue is full
  /// - cancel: throws canceled, the input is destroyed
  /// - threads: any
  RUNNEL_PARKS job<Out> submit(In input) { return submit_with(std::move(input)); }
  /// The same, observing ctx and the ambient context; the job itself runs under neither.
  /// - blocks: while the queue is full
  /// - cancel: throws canceled, the input is destroyed
  /// - threads: any
  RUNNEL_PARKS job<Out> submit(const context& ctx, In input) { return submit_with(std::move(input), ctx); }
  /// The same without waiting; nullopt, and the input untouched, when the queue is full.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::optional<job<Out>> try_submit(In&& input) {
    auto made = std::make_shared<detail::job_state<Out>>();
    if (!state_.try_send(input, made)) return std::nullopt;
    return job<Out>(std::move(made));
  }
  /// A job without a handle: its result goes to results(). Throws pool_stopped.
  /// - blocks: while the queue is full
  /// - cancel: throws canceled, the input is destroyed
  /// - threads: any
  RUNNEL_PARKS void post(In input) { state_.send({std::move(input), nullptr}); }
  /// The same, observing ctx and the ambient context; the job itself runs under neither.
  /// - blocks: while the queue is full
  /// - cancel: throws canceled, the input is destroyed
  /// - threads: any
  RUNNEL_PARKS void post(const context& ctx, In input) { state_.send({std::move(input), nullptr}, ctx); }
  /// False, and the input untouched, when the queue is full.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool try_post(In&& input) { return state_.try_send(input, nullptr); }

  /// The results of posted jobs, as they are ready; closed when the pool has ended. They have to be read: workers wait
  /// for room.
  receive_channel<result> results() const
    requires(!std::is_void_v<Out>)
  {
    return state_.results;
  }

  /// So many workers from now on. Who is too many leaves after its job. Throws misuse for none, pool_stopped.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void resize(std::size_t workers) { state_.resize(workers); }
  std::size_t size() const { return state_.size(); }
  /// Jobs that wait for a worker.
  std::size_t queued() const { return state_.queue.size(); }

  /// Takes no more jobs, does those that are queued, waits for the workers. Throws as job_failure says.
  /// - blocks: until all jobs have ended
  /// - cancel: aborts, then throws canceled
  /// - threads: any but a job, for which it throws misuse
  RUNNEL_PARKS RUNNEL_JOINS void drain() { static_cast<void>(state_.shutdown(std::chrono::nanoseconds::max())); }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until all jobs have ended
  /// - cancel: aborts, then throws canceled
  /// - threads: any but a job, for which it throws misuse
  RUNNEL_PARKS RUNNEL_JOINS void drain(const context& ctx) {
    const detail::joined_scope both(ctx);
    drain();
  }
  /// The same for at most `limit`, then abort(): false. Waits then for jobs that do not heed their cancellation.
  /// - blocks: for the limit, and until the canceled jobs have ended
  /// - cancel: aborts, then throws canceled
  /// - threads: any but a job, for which it throws misuse
  RUNNEL_PARKS RUNNEL_JOINS bool shutdown(duration limit) { return state_.shutdown(limit); }
  /// The same, observing ctx and the ambient context.
  /// - blocks: for the limit, and until the canceled jobs have ended
  /// - cancel: aborts, then throws canceled
  /// - threads: any but a job, for which it throws misuse
  RUNNEL_PARKS RUNNEL_JOINS bool shutdown(const context& ctx, duration limit) {
    const detail::joined_scope both(ctx);
    return shutdown(limit);
  }
  /// Takes no more jobs, destroys those that are queued, cancels those that run and waits for them, shielded.
  /// - blocks: until the running jobs have ended
  /// - cancel: ignores
  /// - threads: any but a job, for which it throws misuse
  RUNNEL_PARKS RUNNEL_JOINS void abort() {
    state_.refuse_own_job();
    state_.abort();
  }

 private:
  /// A job on its way. Who waits for it would never hear of a move that throws there, so such an input stays in a box.
  class entry {
   public:
    entry(In&& input, std::shared_ptr<detail::job_state<Out>> j) : job(std::move(j)), kept_(keep(std::move(input))) {}
    In& input() noexcept {
      if constexpr (boxed) {
        return *kept_;
      } else {
        return kept_;
      }
    }
    std::shared_ptr<detail::job_state<Out>> job;

   private:
    static constexpr bool boxed = !std::is_nothrow_move_constructible_v<In>;
    using kept = std::conditional_t<boxed, std::unique_ptr<In>, In>;
    static kept keep(In&& input) {
      if constexpr (boxed) {
        return std::make_unique<In>(std::move(input));
      } else {
        return std::move(input);
      }
    }
    kept kept_;
  };
  /// A function that need not be copyable.
  struct callable {
    virtual ~callable() = default;
    virtual Out call(In&& input) = 0;
  };
  /// Without workers.
  worker_pool(std::unique_ptr<callable> f, const worker_pool_options& options) : state_(std::move(f), options) {}
  template <class F>
  static std::unique_ptr<callable> erase(F&& f) {
    struct holder final : callable {
      explicit holder(F&& g) : function(std::forward<F>(g)) {}
      Out call(In&& input) override { return static_cast<Out>(std::invoke(function, std::move(input))); }
      std::decay_t<F> function;
    };
    return std::make_unique<holder>(std::forward<F>(f));
  }

  class state final : public detail::worker_pool_core {
   public:
    state(std::unique_ptr<callable> f, const worker_pool_options& o)
        : worker_pool_core(o), queue(o.queue), results(brings ? o.results : 0), function_(std::move(f)) {}

    template <std::same_as<context>... Given>
    void send(entry e, const Given&... ctx) {
      try {
        queue.send(ctx..., std::move(e));
      } catch (const channel_closed&) {
        throw pool_stopped();
      }
    }
    bool try_send(In& input, const std::shared_ptr<detail::job_state<Out>>& job) {
      entry e{std::move(input), job};
      const channel_status s = queue.try_send(std::move(e));
      if (s == channel_status::ok) return true;
      if constexpr (std::is_move_assignable_v<In>) {
        input = std::move(e.input());
      } else {
        static_assert(std::is_nothrow_move_constructible_v<In>,
                      "runnel::worker_pool: an input that is not taken is given back: it must be assignable, or moved without throwing");
        std::destroy_at(std::addressof(input));
        std::construct_at(std::addressof(input), std::move(e.input()));
      }
      if (s == channel_status::closed) throw pool_stopped();
      return false;
    }

    channel<entry> queue;
    channel<result> results;

   private:
    void work(const context& retired) override {
      auto own = derive_cancel(pool_context());  // of the job that runs, if it has a handle
      for (;;) {
        std::optional<entry> e;
        try {
          detail::refill(e, queue.receive(retired));
        } catch (const canceled&) {
          if (is_canceled()) throw;
          return;  // only retired
        }
        if (!e) return;
        if (e->job) {
          run_with_handle(*e, own);
          if (own.ctx.is_canceled()) own = derive_cancel(pool_context());
        } else {
          run_posted(*e);
        }
      }
    }
    void run_with_handle(entry& e, const derived_context& own) {
      if (!e.job->begin(own)) return;
      try {
        const context_scope ambient(own.ctx);
        if constexpr (brings) {
          e.job->value.emplace(function_->call(std::move(e.input())));
        } else {
          function_->call(std::move(e.input()));
          e.job->value.emplace();
        }
      } catch (...) {
        const bool asked = own.ctx.is_canceled();
        e.job->end(std::current_exception(), is_canceled());
        if (!asked) this->job_failed(true);
        return;
      }
      e.job->end(nullptr, false);
    }
    void run_posted(entry& e) {
      try {
        if constexpr (brings) {
          results.send(function_->call(std::move(e.input())));
        } else {
          function_->call(std::move(e.input()));
        }
      } catch (...) {
        if (!is_canceled()) this->job_failed(false);
      }
    }
    void close_queue() noexcept override { queue.close(); }
    void discard_queued() noexcept override {
      while (auto e = queue.try_receive())
        if (e.value->job) e.value->job->discard();
    }
    void close_results() noexcept override { results.close(); }

    std::unique_ptr<callable> function_;
  };

  template <std::same_as<context>... Given>
  job<Out> submit_with(In&& input, const Given&... ctx) {
    auto made = std::make_shared<detail::job_state<Out>>();
    state_.send({std::move(input), made}, ctx...);
    return job<Out>(std::move(made));
  }

  state state_;
};

}  // namespace runnel::inline RUNNEL_ABI
