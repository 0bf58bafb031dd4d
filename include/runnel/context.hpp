// Contexts: who may stop a piece of work, until when it may take, and what it should know.
//
// Use when: anything that blocks must end early, by a time limit, a failed sibling, a user who goes away.
// How: every blocking operation observes the *ambient* context of its fiber or thread, so most code never mentions
// one: with_timeout(5s, [&] { ... }) installs a limit for a scope, a task_group cancels its tasks.
// Guarantees: cancellation reaches every context below at once, is never undone, and wakes each parked operation
// once; an operation that had already got its result keeps it.
// Blocking and cancellation: nothing here blocks, except that ~after_func_handle waits for a function that runs.
// Errors: a canceled blocking operation throws `canceled` (or `deadline_exceeded`); a moved-from context throws misuse.
// Cost: a derived context is one piece of memory, pooled by the workers, and one short lock of its parent when something is
// registered with it; cancel() allocates nothing.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/base/source_location.hpp>
#include <runnel/detail/context_node.hpp>
#include <runnel/sched/operation.hpp>
#include <runnel/error.hpp>

#include <concepts>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

class context;
namespace detail {
context wrap(ref_ptr<context_node> node) noexcept;
context_node& node_of(const context& c);
struct after_core;
}  // namespace detail

/// A key for values in a context. The object's identity is the key: make it a static constant.
template <class T>
class context_key {
 public:
  constexpr context_key() noexcept = default;
  context_key(const context_key&) = delete;
  context_key& operator=(const context_key&) = delete;
};

/// A handle of one context; copies refer to the same one. Any thread may use it.
class context {
 public:
  /// The context that is never canceled and has no values.
  static context background() noexcept;
  /// The ambient context of the calling fiber or thread. Under a cancel_shield: its values without its cancellation.
  static context current();

  /// What happened before its cancellation happens before a call that returns true.
  bool is_canceled() const {
    sched::choice_point(sched::operation::look, node_.get());
    return node().state() != detail::cancel_state::live;
  }
  /// Why it was canceled: the cause given to cancel(), else the exception that blocking calls throw; null while it
  /// is not canceled.
  std::exception_ptr cause() const {
    sched::choice_point(sched::operation::look, node_.get());
    return node().cause();
  }
  /// When it will be canceled by time, if that is settled: the earliest of its own limit and those above.
  std::optional<time_point> deadline() const {
    return node().deadline() == never ? std::nullopt : std::optional(node().deadline());
  }
  /// Throws `canceled` (or `deadline_exceeded`) when it is canceled; for long loops.
  /// - blocks: never
  /// - cancel: throws canceled
  /// - threads: any
  void check() const {
    sched::choice_point(sched::operation::look, node_.get());
    if (node().is_canceled()) node().throw_canceled();
  }
  /// The value of the nearest context that has the key, or null. Valid as long as this context.
  template <class T>
  const T* value(const context_key<T>& key) const noexcept {
    return static_cast<const T*>(find_value(&key));
  }
  /// A standard token that is stopped (by a fiber of its own) soon after this context is canceled.
  std::stop_token stop_token() const;

  friend bool operator==(const context&, const context&) noexcept = default;

 private:
  friend context detail::wrap(detail::ref_ptr<detail::context_node>) noexcept;
  friend detail::context_node& detail::node_of(const context&);
  explicit context(detail::ref_ptr<detail::context_node> n) noexcept : node_(std::move(n)) {}
  detail::context_node& node() const {
    if (!node_) detail::throw_misuse("runnel::context: used after it was moved from");
    return *node_;
  }
  const void* find_value(const void* key) const noexcept;

  detail::ref_ptr<detail::context_node> node_;
};

namespace detail {
inline context wrap(ref_ptr<context_node> node) noexcept { return context(std::move(node)); }
inline context_node& node_of(const context& c) { return c.node(); }
}  // namespace detail

/// Which context a cancellation began with: an identity to compare contexts with, which keeps none alive (an exception may
/// itself be the cause of a context above).
class cancel_origin {
 public:
  explicit cancel_origin(const detail::context_node& n) noexcept : order_(n.order()) {}
  friend bool operator==(const cancel_origin&, const cancel_origin&) noexcept = default;
  friend bool operator==(const cancel_origin& o, const context& c) { return o == cancel_origin(detail::node_of(c)); }
  std::uint64_t order() const noexcept { return order_; }

 private:
  std::uint64_t order_;
};

/// What a canceled blocking operation throws.
class canceled : public std::exception {
 public:
  canceled(cancel_origin origin, std::exception_ptr cause) noexcept : origin_(origin), cause_(std::move(cause)) {}
  const char* what() const noexcept override { return "canceled"; }
  /// The context whose cancellation was the first.
  const cancel_origin& origin() const noexcept { return origin_; }
  /// What was given to cancel(), or null.
  const std::exception_ptr& cause() const noexcept { return cause_; }

 private:
  cancel_origin origin_;
  std::exception_ptr cause_;
};

/// The same, when a time limit was the reason.
class deadline_exceeded : public canceled {
 public:
  using canceled::canceled;
  const char* what() const noexcept override { return "deadline exceeded"; }
};

/// The right to cancel one context; cancels it when destroyed. Move-only.
class cancel_handle {
 public:
  cancel_handle() noexcept = default;
  explicit cancel_handle(detail::ref_ptr<detail::context_node> n) noexcept : node_(std::move(n)) {}
  cancel_handle(cancel_handle&&) noexcept = default;
  cancel_handle& operator=(cancel_handle&& o) noexcept {
    if (this != &o) {
      cancel();
      node_ = std::move(o.node_);
    }
    return *this;
  }
  ~cancel_handle() { cancel(); }

  /// Cancels the context and everything below it; later calls have no effect. An empty handle does nothing.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void cancel(std::exception_ptr cause = nullptr) noexcept {
    if (node_) node_->cancel(std::move(cause));
  }
  void operator()(std::exception_ptr cause = nullptr) noexcept { cancel(std::move(cause)); }

 private:
  detail::ref_ptr<detail::context_node> node_;
};

/// A context and the handle that cancels it: auto [ctx, cancel] = derive_cancel(parent).
struct derived_context {
  context ctx;
  cancel_handle cancel;
};

/// A context below `parent` that can be canceled by itself.
derived_context derive_cancel(const context& parent);
/// The same, and canceled after `limit` (at once when that is not positive), with `cause` if one is given.
derived_context derive_timeout(const context& parent, duration limit, std::exception_ptr cause = nullptr);
/// The same, and canceled at `deadline`.
derived_context derive_deadline(const context& parent, time_point deadline, std::exception_ptr cause = nullptr);
template <class Duration>
derived_context derive_deadline(const context& parent, std::chrono::time_point<std::chrono::system_clock, Duration> at,
                                std::exception_ptr cause = nullptr);
/// A context below `parent` that knows `value` under `key`.
template <class T, std::convertible_to<T> V>
context derive_value(const context& parent, const context_key<T>& key, V&& value);
/// The values of `parent` without its cancellation and deadline.
context without_cancel(const context& parent);
/// A context below `parent` that is canceled also when `token` is stopped.
context from_stop_token(const context& parent, std::stop_token token);

/// Makes a context the ambient one until the end of the scope. Pinned to its fiber or thread; scopes end in the
/// reverse order, which is checked. Leaving it cancels nothing.
class context_scope {
 public:
  explicit context_scope(context ctx) : ctx_(std::move(ctx)), scope_(&detail::node_of(ctx_)) {}

 private:
  context ctx_;
  detail::ambient_scope scope_;
};

/// A time limit as the ambient context until the end of the scope, which cancels what was started under it.
class timeout_scope {
 public:
  explicit timeout_scope(duration limit) : timeout_scope(limit.from_now()) {}
  explicit timeout_scope(time_point deadline)
      : limited_(derive_deadline(context::current(), deadline)), scope_(&detail::node_of(limited_.ctx)) {}

 private:
  derived_context limited_;
  detail::ambient_scope scope_;
};

/// Runs f under a time limit and returns what it returns; what f started and left is canceled afterwards.
template <class F>
RUNNEL_PARKS decltype(auto) with_timeout(duration limit, F&& f) {
  timeout_scope scope(limit);
  return std::forward<F>(f)();
}
template <class F>
RUNNEL_PARKS decltype(auto) with_deadline(time_point deadline, F&& f) {
  timeout_scope scope(deadline);
  return std::forward<F>(f)();
}

/// Inside the scope blocking operations do not observe the cancellation of what was ambient before, so that clean-up
/// can block; contexts installed inside it count. With a grace it ends by itself: after that time blocking
/// operations throw again.
class cancel_shield {
 public:
  cancel_shield() : scope_(nullptr) {}
  explicit cancel_shield(duration grace)
      : limited_(derive_timeout(without_cancel(context::current()), grace)), scope_(&detail::node_of(limited_->ctx)) {}

 private:
  std::optional<derived_context> limited_;
  detail::ambient_scope scope_;
};

class after_func_handle;

/// Runs f on a fiber of its own when ctx is canceled (at once when it is already). The fiber is reserved here, so that
/// the cancellation cannot fail; throws std::bad_alloc. f runs without an ambient cancellation; an exception that
/// leaves it goes to the unhandled hook.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
template <class F>
RUNNEL_SPAWNS after_func_handle after_func(const context& ctx, F&& f, source_location at = source_location::current());

/// The registration of a function with a context.
class after_func_handle {
 public:
  after_func_handle() noexcept = default;
  after_func_handle(after_func_handle&& o) noexcept : core_(std::exchange(o.core_, nullptr)) {}
  after_func_handle& operator=(after_func_handle o) noexcept {
    std::swap(core_, o.core_);
    return *this;
  }
  /// stop(), then waits for a function that has begun, shielded; not from inside that function.
  RUNNEL_JOINS ~after_func_handle();

  /// True when this call prevented the function from running. Does not wait.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool stop() noexcept;

 private:
  template <class F>
  friend after_func_handle after_func(const context&, F&&, source_location);
  explicit after_func_handle(detail::after_core* c) noexcept : core_(c) {}
  detail::after_core* core_ = nullptr;
};

// ---- implementation --------------------------------------------------------------------------------------------

namespace detail {

template <class T>
class value_node final : public context_node {
 public:
  template <class V>
  value_node(context_node& parent, const void* key, V&& v)
      : context_node(&parent, &parent), key_(key), value_(std::forward<V>(v)) {}
  const void* find_value(const void* key) const noexcept override {
    return key == key_ ? &value_ : nullptr;
  }

 private:
  const void* key_;
  T value_;
};

/// The part of an after_func that does not depend on its callable.
struct after_core : cancel_hook {
  explicit after_core(void (*call)(after_core&)) noexcept : call_function(call) {}
  virtual ~after_core() = default;
  void (*call_function)(after_core&);
  void* state = nullptr;  ///< src/after_func.cpp's
};
/// Takes over c, also when it throws. `part_of_context`: c lives no longer than ctx and does not keep it.
void register_after(after_core* c, const context& ctx, const site& at, bool part_of_context = false);
/// Stops it where it has not begun and gives it up; does not wait.
void drop_after(after_core* c) noexcept;

template <class F>
struct after_frame final : after_core {
  explicit after_frame(F&& f) : after_core(&call), function(std::move(f)) {}
  explicit after_frame(const F& f) : after_core(&call), function(f) {}
  static void call(after_core& c) { static_cast<after_frame&>(c).function(); }
  F function;
};

// Standard stop states are touched in headers only: a thread sanitizer must see their atomics in the user's code.

/// Canceled by a stop token too. The callback may run while the node is on its way out.
class stoppable_node final : public context_node {
 public:
  stoppable_node(context_node& parent, std::stop_token token)
      : context_node(&parent, &parent), callback_(std::move(token), on_stop{this}) {}

 private:
  struct on_stop {
    context_node* node;
    void operator()() const noexcept {
      if (!node->try_add_ref()) return;
      node->cancel(nullptr);
      node->release_ref();
    }
  };
  std::stop_callback<on_stop> callback_;
};

/// The stop source of a context that was asked for its token.
struct stop_extension final : node_extension {
  std::stop_source source;
  after_core* trigger = nullptr;
  ~stop_extension() override {
    if (trigger) drop_after(trigger);
  }
};

}  // namespace detail

inline context from_stop_token(const context& parent, std::stop_token token) {
  return detail::wrap(detail::ref_ptr<detail::context_node>::adopt(
      new detail::stoppable_node(detail::node_of(parent), std::move(token))));
}

inline std::stop_token context::stop_token() const {
  detail::context_node& n = node();
  if (auto* known = n.extension()) return static_cast<detail::stop_extension*>(known)->source.get_token();
  auto made = std::make_unique<detail::stop_extension>();
  auto request = [source = made->source]() mutable { source.request_stop(); };
  auto* trigger = new detail::after_frame<decltype(request)>(std::move(request));
  detail::register_after(trigger, *this, detail::site(source_location::current()), true);
  made->trigger = trigger;
  return static_cast<detail::stop_extension*>(n.attach(std::move(made)))->source.get_token();
}

template <class Duration>
derived_context derive_deadline(const context& parent, std::chrono::time_point<std::chrono::system_clock, Duration> at,
                                std::exception_ptr cause) {
  return derive_timeout(parent, duration::between(detail::system_now(), at), std::move(cause));
}

template <class T, std::convertible_to<T> V>
context derive_value(const context& parent, const context_key<T>& key, V&& value) {
  using node = detail::value_node<T>;
  return detail::wrap(detail::ref_ptr<detail::context_node>::adopt(
      new node(detail::node_of(parent), &key, std::forward<V>(value))));
}

template <class F>
after_func_handle after_func(const context& ctx, F&& f, source_location at) {
  auto* core = new detail::after_frame<std::decay_t<F>>(std::forward<F>(f));
  detail::register_after(core, ctx, at);
  return after_func_handle(core);
}

}  // namespace runnel::inline RUNNEL_ABI
