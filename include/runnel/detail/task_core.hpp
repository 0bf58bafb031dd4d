// The part of a task that does not depend on its callable and result. A task is a context node: what runs in it
// runs under it.
//
// Who may touch what: the fiber writes outcome_, error_ and the result before it leaves its stack; the worker then
// sets done_ under the lock and wakes the joiners; after done_ only the handle touches them.
#pragma once

#include <runnel/detail/context_node.hpp>
#include <runnel/sched/job.hpp>

#include <optional>
#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI::detail {

struct start_options {
  stack_class stack = stack_class::standard;
  std::string_view name;
  site at;
};

/// What to do with an exception that leaves the body.
enum class escape : std::uint8_t { keep, terminate };

class task_core : public context_node, public sched::job {
 public:
  explicit task_core(ambient_parents parents) noexcept;

  /// Starts the fiber, which holds a reference until it has ended. Throws std::bad_alloc and starts nothing.
  void start(const start_options& o, escape e = escape::keep);

  bool done() noexcept;
  /// Waits for the end, observing the ambient context and `extra`; throws canceled.
  void join(context_node* extra);
  /// The same, shielded.
  void join_shielded() noexcept;
  /// After join(): throws what the task ended with; the caller has taken it.
  void rethrow();
  /// The exception that nobody took goes to the unhandled hook.
  void drop_error() noexcept;

  // For select, under `lock`.
  bool done_locked() const noexcept { return done_; }
  void add_joiner(sched::wait_node& n) noexcept {
    n.owner->may_be_ended_by(*this);
    joiners_.push_back(n);
  }
  void remove_joiner(sched::wait_node& n) noexcept { joiners_.remove(n); }
  void see_end() noexcept;

 private:
  enum class outcome : std::uint8_t { value, canceled, failed };
  /// Calls the callable, keeps what it returns and destroys it.
  virtual void run_body() = 0;
  bool left_behind() const noexcept;
  static void run_on_fiber(sched::job& j) noexcept;
  static void after_fiber(sched::job& j) noexcept;

  // In this order there is no padding: a million tasks have a million of them.
  [[no_unique_address]] sched::wait_queue joiners_;
  escape escape_ = escape::keep;
  outcome outcome_ = outcome::value;
  bool done_ = false;

 protected:
  bool has_function_ = true;  ///< of task_frame

 private:
  std::exception_ptr error_;
  sched::fiber* fiber_ = nullptr;  ///< ours while its work is this
};

/// Where the result waits for get().
template <class R>
struct task_result : task_core {
  static_assert(std::is_nothrow_destructible_v<R>, "runnel: a task's result must have a noexcept destructor");
  using task_core::task_core;
  template <class F>
  void fill(F& f) { value.emplace(f()); }
  R take() { return std::move(*value); }
  void reset() noexcept { value.reset(); }
  std::optional<R> value;
};
template <class R>
struct task_result<R&> : task_core {
  using task_core::task_core;
  template <class F>
  void fill(F& f) { value = std::addressof(f()); }
  R& take() { return *value; }
  void reset() noexcept {}
  R* value = nullptr;
};
template <>
struct task_result<void> : task_core {
  using task_core::task_core;
  template <class F>
  void fill(F& f) { f(); }
  void take() {}
  void reset() noexcept {}
};

/// A task with its callable, which is destroyed on the fiber, before the end is signalled.
template <class R, class F>
struct task_frame final : task_result<R> {
  template <class G>
  task_frame(ambient_parents parents, G&& g) : task_result<R>(parents), function_(std::forward<G>(g)) {}
  task_frame(const task_frame&) = delete;
  task_frame& operator=(const task_frame&) = delete;
  ~task_frame() override { destroy_function(); }

 private:
  void destroy_function() noexcept {
    if (std::exchange(this->has_function_, false)) function_.~F();
  }
  void run_body() override {
    struct destroy {
      task_frame& frame;
      ~destroy() { frame.destroy_function(); }
    } at_end{*this};
    this->fill(function_);
  }

  union {
    F function_;
  };
};

/// The parents of a task that belongs to the runtime: the ambient values, the cancellation of the runtime's end.
ambient_parents detached_parents() noexcept;

/// The frame around whatever runs on a fiber: its ambient context, and the end of its fiber-local values.
class fiber_frame {
 public:
  explicit fiber_frame(context_node& ambient) noexcept;
  ~fiber_frame();
  fiber_frame(const fiber_frame&) = delete;
  fiber_frame& operator=(const fiber_frame&) = delete;
};

/// Gives an exception that nobody took to the unhandled hook; without a hook: reports it once.
void deliver_unhandled(std::exception_ptr e) noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
