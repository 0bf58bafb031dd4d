// batcher: values that many producers add one at a time, and that go on in groups.
//
//   runnel::batcher<row> rows([&](std::vector<row>& batch) { db.insert(batch); }, {.size = 500, .age = 50ms});
//   rows.add(r);      // from anywhere; waits when the flushing cannot keep up
//   rows.close();     // flushes the rest, and throws if that failed
//
// Use when: doing it for a hundred at once costs hardly more than for one: inserts, writes, requests. When not: the
// values are a stage's output; see pipeline's batch.
// Guarantees: every value is in one batch, once, in the order in which it was added. A batch goes when it has `size`
// values, when they have `bytes` bytes, or `age` after its first value was added, whichever comes first; on flush();
// and at the end. One batch at a time. The function runs on the batcher's own fiber, under no lock.
// A failed batch is not lost: it goes, whole, with its exception, to the function given to on_failure, and the batcher
// goes on. Without one it is kept in the batch_failed that every later call throws; what was added after it is handed
// back in the same way. Values that somebody waits for (a reply in each) need on_failure: kept ones answer nobody.
// Thread-safety: add, flush and close from any fiber or thread, but not from the function or on_failure.
// Blocking and cancellation: add waits while `waiting` values wait. The batcher runs under the context that was ambient
// when it was made; canceled, it destroys what it has.
// End: ~batcher is close(); when the scope is left by an exception or the caller is canceled, it cancels and destroys
// what was not flushed. A failure that nobody saw goes to the unhandled hook.
// Errors: batcher_closed after close(); misuse for a size of 0, for one of bytes and bytes_of without the other, and
// for a function that would wait for its own batcher. What on_failure throws ends the batcher, and is thrown by
// close().
// Cost: a message of a channel a value, and with an age a look at the clock; a fiber and a timer.
#pragma once

#include <runnel/channel.hpp>
#include <runnel/detail/joined_scope.hpp>
#include <runnel/detail/task_core.hpp>
#include <runnel/error.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/sync/mutex.hpp>
#include <runnel/sync/semaphore.hpp>
#include <runnel/task_group.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace runnel::inline RUNNEL_ABI {

/// A batch that its function threw at, with what was thrown and all the values (as the function left them).
template <class T>
class batch_failed : public std::exception {
 public:
  batch_failed(std::exception_ptr cause, std::vector<T>&& items)
      : cause_(std::move(cause)), items_(std::make_shared<std::vector<T>>(std::move(items))) {}
  const char* what() const noexcept override { return "runnel::batcher: a batch could not be flushed"; }
  const std::exception_ptr& cause() const noexcept { return cause_; }
  /// Shared by all copies of this exception: to be moved out once.
  std::vector<T>& items() const noexcept { return *items_; }

 private:
  std::exception_ptr cause_;
  std::shared_ptr<std::vector<T>> items_;
};

/// Given to a batcher that takes no more.
class batcher_closed : public std::runtime_error {
 public:
  batcher_closed() : std::runtime_error("runnel::batcher: it was closed and takes no more values") {}
};

template <class T>
struct batcher_options {
  std::size_t size = 100;            ///< values in a batch, at most
  std::optional<duration> age = {};  ///< of a batch, since its first value was added
  std::optional<std::size_t> bytes = {};               ///< of a batch: the value that reaches it is its last
  std::function<std::size_t(const T&)> bytes_of = {};  ///< one value; called by add
  std::size_t waiting = 64;          ///< values that wait for the batcher; one more makes add wait
  std::function<void(std::vector<T>&&, std::exception_ptr)> on_failure = {};
  std::string_view name = {};        ///< in reports
};

template <class T>
class batcher {
 public:
  /// Each batch goes to f(std::vector<T>&). What f takes out of it is not handed back when f throws.
  template <class F>
    requires std::invocable<std::decay_t<F>&, std::vector<T>&>
  explicit batcher(F&& f, batcher_options<T> options = {})
      : options_(std::move(options)),
        function_(erase(std::forward<F>(f))),
        queue_(options_.waiting),
        group_({.name = options_.name.empty() ? std::string_view("batcher") : options_.name}) {
    if (options_.size == 0) detail::throw_misuse("runnel::batcher: a batch of 0 is never full: give 1 or more");
    if (options_.bytes.has_value() != static_cast<bool>(options_.bytes_of))
      detail::throw_misuse("runnel::batcher: bytes is how many a batch has, bytes_of how many a value has: "
                           "give both or none");
    group_.go([this] { collect(); });
  }
  batcher(const batcher&) = delete;
  batcher& operator=(const batcher&) = delete;
  RUNNEL_JOINS ~batcher() {
    if (std::uncaught_exceptions() > unwinding_before_) group_.cancel();
    const bool told = is_told();
    try {
      close();
    } catch (const canceled&) {
    } catch (...) {
      if (!told) detail::deliver_unhandled(std::current_exception());
    }
  }

  /// - blocks: while as many values wait as may
  /// - cancel: throws canceled, the value is destroyed
  /// - threads: any, but the batcher's own, for which it throws misuse, as flush() and close() do
  RUNNEL_PARKS void add(T value) { send(entry_of(std::move(value))); }
  /// The same, observing ctx and the ambient context.
  /// - blocks: while as many values wait as may
  /// - cancel: throws canceled, the value is destroyed
  /// - threads: any but the batcher's own
  RUNNEL_PARKS void add(const context& ctx, T value) { send(entry_of(std::move(value)), ctx); }
  /// Waits until everything that was added before has been flushed, whole or not. Throws batcher_closed when the batcher
  /// has ended without.
  /// - blocks: until then
  /// - cancel: throws canceled; the batch goes all the same
  /// - threads: any but the batcher's own
  RUNNEL_PARKS void flush() { flush_with(); }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until then
  /// - cancel: throws canceled; the batch goes all the same
  /// - threads: any but the batcher's own
  RUNNEL_PARKS void flush(const context& ctx) { flush_with(ctx); }
  /// Takes no more values, flushes the rest, waits for that. A second call waits as well.
  /// - blocks: until all is flushed
  /// - cancel: throws canceled, and destroys what was not flushed
  /// - threads: any but the batcher's own
  RUNNEL_PARKS RUNNEL_JOINS void close() {
    refuse_own_fiber();
    why_is_known_.set();
    queue_.close();
    try {
      const permit one(one_joins_);
      group_.wait();
    } catch (const canceled&) {
      stop();
      throw;
    } catch (...) {
      tell();
      throw;
    }
    rethrow_failure();
  }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until all is flushed
  /// - cancel: throws canceled, and destroys what was not flushed
  /// - threads: any but the batcher's own
  RUNNEL_PARKS RUNNEL_JOINS void close(const context& ctx) {
    const detail::joined_scope both(ctx);
    close();
  }

 private:
  struct flush_waiter {
    event over;
    bool flushed = false;  ///< before `over`
  };
  /// Stands behind what somebody waits for, who is told when it ends, wherever that is.
  class marker {
   public:
    marker() noexcept = default;
    explicit marker(std::shared_ptr<flush_waiter> w) noexcept : waiter_(std::move(w)) {}
    marker(marker&&) noexcept = default;
    marker& operator=(marker&&) = delete;
    ~marker() {
      if (waiter_) waiter_->over.set();
    }
    void flushed() noexcept { waiter_->flushed = true; }

   private:
    std::shared_ptr<flush_waiter> waiter_;
  };
  /// A value, or a marker.
  struct entry {
    std::optional<T> value;
    std::size_t bytes;
    time_point due;
    marker reached;
  };
  struct callable {
    virtual ~callable() = default;
    virtual void call(std::vector<T>& batch) = 0;
  };
  template <class F>
  static std::unique_ptr<callable> erase(F&& f) {
    struct holder final : callable {
      explicit holder(F&& g) : function(std::forward<F>(g)) {}
      void call(std::vector<T>& batch) override { std::invoke(function, batch); }
      std::decay_t<F> function;
    };
    return std::make_unique<holder>(std::forward<F>(f));
  }

  /// The function, and on_failure, which run on the batcher's fiber.
  void refuse_own_fiber() const {
    if (detail::runs_in_task_of(group_))
      detail::throw_misuse("runnel::batcher: its own function adds, flushes or closes, and would wait for itself: "
                           "let another fiber do so");
  }
  entry entry_of(T&& value) const {
    const std::size_t bytes = options_.bytes_of ? options_.bytes_of(value) : 0;
    return {std::optional<T>(std::move(value)), bytes, options_.age ? options_.age->from_now() : never, marker()};
  }
  /// With one context, or with none but the ambient one.
  template <std::same_as<context>... Given>
  void send(entry e, const Given&... ctx) {
    refuse_own_fiber();
    try {
      queue_.send(ctx..., std::move(e));
    } catch (const channel_closed&) {
      why_is_known_.wait(ctx...);
      rethrow_failure();
      throw batcher_closed();
    }
  }
  template <std::same_as<context>... Given>
  void flush_with(const Given&... ctx) {
    const auto waits = std::make_shared<flush_waiter>();
    send({std::nullopt, 0, never, marker(waits)}, ctx...);
    waits->over.wait(ctx...);
    rethrow_failure();
    if (!waits->flushed) throw batcher_closed();
  }
  void rethrow_failure() {
    std::optional<batch_failed<T>> failure;
    {
      const std::lock_guard hold(lock_);
      failure = failure_;
      if (failure) told_ = true;
    }
    if (failure) throw *failure;
  }
  /// For a closer that is canceled, perhaps while another one closes it.
  void stop() {
    group_.cancel();
    const cancel_shield to_the_end;
    const permit one(one_joins_);
    try {
      group_.wait();
    } catch (...) {  // the cancellation is what it throws
    }
    tell();
  }
  void tell() {
    const std::lock_guard hold(lock_);
    told_ = true;
  }
  bool is_told() {
    const std::lock_guard hold(lock_);
    return told_;
  }

  // ---- on the batcher's fiber

  void collect() {
    struct release {  // however it ends, nobody is left waiting
      batcher& b;
      ~release() {
        b.why_is_known_.set();
        detail::channel_discard(b.queue_.ref().peek());
        b.batch_.clear();
      }
    } at_end{*this};
    for (;;) {
      auto r = queue_.receive_until(due_);
      if (r.status == channel_status::closed) break;
      if (r.status == channel_status::timed_out) {
        flush_batch();
      } else if (r.value->value) {
        take(std::move(*r.value));
      } else {
        flush_batch();
        r.value->reached.flushed();
      }
    }
    flush_batch();
  }
  void take(entry&& e) {
    if (batch_.empty()) due_ = e.due;
    batch_.push_back(std::move(*e.value));
    bytes_ += std::min(e.bytes, std::numeric_limits<std::size_t>::max() - bytes_);
    if (batch_.size() == options_.size || (options_.bytes && bytes_ >= *options_.bytes) || is_old()) flush_batch();
  }
  /// Whether it is time for the batch. When that is noticed late, what waits by then may still join it: after a slow
  /// flush all that waits is old, and should not go one by one.
  bool is_old() {
    if (due_ == never) return false;
    if (joining_) return --*joining_ == 0;
    if (steady_clock::now() < due_) return false;
    joining_ = queue_.size();
    return joining_ == 0u;
  }
  void flush_batch() {
    due_ = never;
    joining_.reset();
    bytes_ = 0;
    if (batch_.empty()) return;
    std::vector<T> batch = std::exchange(batch_, {});
    try {
      function_->call(batch);
    } catch (const canceled&) {
      if (group_.get_context().is_canceled()) throw;
      fail(std::move(batch));
    } catch (...) {
      fail(std::move(batch));
    }
  }
  /// In a catch block. Without a handler this is the end: what waits is handed back behind the batch.
  void fail(std::vector<T>&& batch) {
    if (options_.on_failure) return options_.on_failure(std::move(batch), std::current_exception());
    queue_.close();
    std::vector<marker> reached;  // told when it is known why
    while (auto e = queue_.try_receive()) {
      if (e.value->value) {
        batch.push_back(std::move(*e.value->value));
      } else {
        reached.push_back(std::move(e.value->reached));
      }
    }
    {
      batch_failed<T> failure(std::current_exception(), std::move(batch));
      const std::lock_guard hold(lock_);
      failure_.emplace(std::move(failure));
    }
    why_is_known_.set();
  }

  const batcher_options<T> options_;
  const std::unique_ptr<callable> function_;
  const int unwinding_before_ = std::uncaught_exceptions();
  channel<entry> queue_;
  event why_is_known_;  ///< set before or soon after the queue is closed: failure_ says whether that was a failure
  mutex lock_;
  std::optional<batch_failed<T>> failure_;  ///< under lock_
  bool told_ = false;                       ///< under lock_: somebody got what failed
  // The batcher's fiber's:
  std::vector<T> batch_;
  std::size_t bytes_ = 0;
  time_point due_ = never;
  std::optional<std::size_t> joining_;  ///< how many more may join an old batch
  semaphore one_joins_{1};
  task_group group_;  // its fiber uses the rest: it ends first
};

}  // namespace runnel::inline RUNNEL_ABI
