// A wait_group counts things in flight; wait() returns when none is left.
//
// Use when: fibers or threads that are not a task_group's announce their end. Prefer a task_group: it owns its tasks and
// carries their errors.
// Guarantees: what happened before a done() happens before the wait() that it ends. May be destroyed right after wait().
// Errors: a counter below zero, or above 4,294,967,295, throws misuse and leaves it as it was (in unwinding: fatal).
// Destroying it while it counts fibers that were started by go(), or with waiters, ends the process with a message.
// Cost: 48 bytes. add() and done() are one compare-exchange while nobody waits, else one short lock.
// Source: Go's sync.WaitGroup.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/context.hpp>
#include <runnel/runtime.hpp>

namespace runnel::inline RUNNEL_ABI {

class wait_group {
 public:
  wait_group() noexcept = default;
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;
  ~wait_group();

  /// Adds n, which may be negative, to the counter.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void add(std::ptrdiff_t n = 1);
  /// add(-1).
  void done() { add(-1); }
  /// Waits until the counter is zero.
  /// - blocks: until the counter is zero
  /// - cancel: throws canceled; the counter is untouched
  /// - threads: any
  RUNNEL_PARKS void wait() { static_cast<void>(wait_until(never)); }
  RUNNEL_PARKS void wait(const context& ctx) { static_cast<void>(wait_until(never, &detail::node_of(ctx))); }
  /// False when the limit came first.
  RUNNEL_PARKS bool wait_for(duration limit) { return wait_until(limit.from_now()); }

  /// add(1), then f() on a fiber under the ambient context, then done(), however f ends: an exception goes to the
  /// unhandled hook, a cancellation of its context ends it quietly.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  template <class F>
  RUNNEL_SPAWNS void go(F&& f, source_location at = source_location::current());

 private:
  RUNNEL_PARKS bool wait_until(time_point deadline, detail::context_node* extra = nullptr);
  void started();
  void ended() noexcept;
  void change(std::ptrdiff_t n, std::uint64_t by);
  template <class F>
  struct frame;

  sched::wait_object object_;
  shim::atomic<std::uint64_t> word_{0};  ///< see wait_group.cpp
  sched::wait_queue waiters_;            ///< under object_.lock
};

namespace detail {
/// A fiber that belongs to no handle: its end is reported to an owner's function.
struct owned_child : sched::job, sched::pooled {
  owned_child(void (*c)(owned_child&), void (*e)(owned_child&) noexcept) noexcept : call(c), end(e) {}
  virtual ~owned_child() = default;
  void (*const call)(owned_child&);
  void (*const end)(owned_child&) noexcept;  ///< on the worker, with the fiber given back; must free the child
  ref_ptr<context_node> node;
  const void* joined = nullptr;  ///< the address whose readers the end of the fiber happens before
};
/// Starts c under the ambient context. Throws std::bad_alloc and leaves c to the caller.
void start_owned(owned_child& c, const site& at);
}  // namespace detail

template <class F>
struct wait_group::frame final : detail::owned_child {
  template <class G>
  frame(wait_group& w, G&& g) : owned_child(&run, &finish), owner(w), function(std::forward<G>(g)) {}
  static void run(owned_child& c) {
    auto& self = static_cast<frame&>(c);
    struct destroy {
      std::optional<F>& f;
      ~destroy() { f.reset(); }
    } at_end{self.function};
    static_cast<void>((*self.function)());
  }
  static void finish(owned_child& c) noexcept {
    wait_group& w = static_cast<frame&>(c).owner;
    delete &c;
    w.ended();
  }
  wait_group& owner;
  std::optional<F> function;
};

template <class F>
void wait_group::go(F&& f, source_location at) {
  auto child = std::make_unique<frame<std::decay_t<F>>>(*this, std::forward<F>(f));
  child->joined = &waiters_;
  started();
  try {
    detail::start_owned(*child, at);
  } catch (...) {
    ended();
    throw;
  }
  child.release();
}

}  // namespace runnel::inline RUNNEL_ABI
