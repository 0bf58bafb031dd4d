// select: waits for the first of several things, does exactly one of them.
//
//   select(on_receive(jobs, [&](std::optional<job> j) { ... }),
//          on_send(results, std::move(r)),
//          on_timeout(1s, [&] { ... }));
//
// Use when: an operation has alternatives: another channel, an end, a time limit, nothing at all (otherwise).
// For a number of cases that is known at run time: selector.
// Guarantees: exactly one case takes place; among several ready ones each is equally likely. It acts at one instant:
// `otherwise` runs only if at that instant no case was ready. A send case moves its value only if it takes place.
// Blocking and cancellation: blocks until a case is ready, observing the ambient context (and one given first); with
// `otherwise` it neither blocks nor observes cancellation. Without an enabled case it waits until it is canceled.
// Errors: a send case on a closed channel counts as ready and throws channel_closed. A null handle disables its case. An
// exception of a handler leaves select after the operation has taken place.
// Cost: one short lock when a case is ready; to wait, one per distinct object, twice; no allocation up to 16 cases.
#pragma once

#include <runnel/channel.hpp>
#include <runnel/detail/acquire_case.hpp>
#include <runnel/detail/select_core.hpp>
#include <runnel/go.hpp>

#include <memory>
#include <vector>

namespace runnel::inline RUNNEL_ABI {

namespace detail {

struct no_handler {
  void operator()() const noexcept {}
};

/// Where a case keeps what it was given: a reference to an lvalue, the object itself for an rvalue.
template <class T>
using kept = std::conditional_t<std::is_lvalue_reference_v<T>, T, std::remove_cvref_t<T>>;

/// What a case is about, by the kind of channel that the end belongs to.
template <class End>
inline constexpr bool is_spsc_end = std::is_same_v<decltype(std::declval<const End&>().ref().peek()), spsc_core*>;
template <class End>
using receive_core_of = std::conditional_t<is_spsc_end<End>, spsc_case_core<false>, receive_case_core>;
template <class End>
using send_core_of = std::conditional_t<is_spsc_end<End>, spsc_case_core<true>, send_case_core>;

template <class Derived>
struct conditional_case {
  /// The case takes part only if `condition` holds.
  Derived&& when(bool condition) && noexcept {
    auto& self = static_cast<Derived&>(*this);
    self.enabled = self.enabled && condition;
    return std::move(self);
  }
};

/// Receives into an optional: the caller's, or its own for a handler.
template <class T, class End, class Handler>
class receive_case final : public receive_core_of<End>, public conditional_case<receive_case<T, End, Handler>> {
  static constexpr bool direct = std::is_same_v<Handler, std::optional<T>&>;

 public:
  receive_case(End&& end, Handler&& h) : end_(std::forward<End>(end)), handler_(std::forward<Handler>(h)) {
    this->enabled = end_.ref().peek() != nullptr;
  }
  select_case* prepare() {
    this->core_ = end_.ref().peek();
    if constexpr (direct) {
      this->element_ = &handler_;
    } else {
      value_.reset();
      this->element_ = &value_;
    }
    return this;
  }
  void handle() {
    if constexpr (!direct) {
      handler_(std::move(value_));
    } else if (this->status_ == channel_status::closed) {
      handler_.reset();
    }
  }
  /// The same case with its own handle of the channel.
  template <class Owned>
  receive_case<T, Owned, Handler> with_end() && {
    receive_case<T, Owned, Handler> c(static_cast<Owned&&>(static_cast<Owned>(std::forward<End>(end_))), std::forward<Handler>(handler_));
    c.enabled = this->enabled;
    return c;
  }

 private:
  kept<End> end_;
  Handler handler_;
  std::optional<T> value_;
};

/// Value: T&& (borrowed), T (a copy), or a function that supplies one for a selector.
template <class T, class End, class Value, class Handler>
class send_case final : public send_core_of<End>, public conditional_case<send_case<T, End, Value, Handler>> {
  static constexpr bool supplied = !std::is_same_v<std::remove_cvref_t<Value>, T>;

 public:
  send_case(End&& end, Value&& v, Handler&& h)
      : end_(std::forward<End>(end)), value_(std::forward<Value>(v)), handler_(std::forward<Handler>(h)) {
    this->enabled = end_.ref().peek() != nullptr;
  }
  select_case* prepare() {
    this->core_ = end_.ref().peek();
    if constexpr (supplied) {
      if (this->enabled && !pending_) pending_.emplace(value_());  // one that was not sent is offered again
      this->element_ = pending_ ? std::addressof(*pending_) : nullptr;
    } else {
      this->element_ = const_cast<void*>(static_cast<const void*>(std::addressof(value_)));
    }
    return this;
  }
  void handle() {
    if (this->status_ == channel_status::closed) throw channel_closed();
    if constexpr (supplied) pending_.reset();
    handler_();
  }
  template <class Owned>
  send_case<T, Owned, Value, Handler> with_end() && {
    send_case<T, Owned, Value, Handler> c(static_cast<Owned&&>(static_cast<Owned>(std::forward<End>(end_))), std::forward<Value>(value_), std::forward<Handler>(handler_));
    c.enabled = this->enabled;
    return c;
  }

 private:
  kept<End> end_;
  Value value_;
  Handler handler_;
  std::conditional_t<supplied, std::optional<T>, no_handler> pending_;
};

template <class Handler>
class done_case final : public done_case_core, public conditional_case<done_case<Handler>> {
 public:
  done_case(context_node& n, Handler&& h) : done_case_core(n), handler_(std::forward<Handler>(h)) {}
  select_case* prepare() noexcept { return this; }
  void handle() { handler_(); }

 private:
  Handler handler_;
};

template <class Handler>
class join_case final : public join_case_core, public conditional_case<join_case<Handler>> {
 public:
  join_case(task_core* t, Handler&& h) : join_case_core(t), handler_(std::forward<Handler>(h)) {}
  select_case* prepare() noexcept { return this; }
  void handle() { handler_(); }

 private:
  Handler handler_;
};

template <class Handler>
class acquire_case final : public acquire_case_core, public conditional_case<acquire_case<Handler>> {
 public:
  acquire_case(semaphore& s, std::ptrdiff_t n, Handler&& h) : acquire_case_core(s, n), handler_(std::forward<Handler>(h)) {}
  select_case* prepare() noexcept { return this; }
  void handle() { handler_(); }

 private:
  Handler handler_;
};

template <class Handler>
class readiness_case final : public readiness_case_core, public conditional_case<readiness_case<Handler>> {
 public:
  readiness_case(int fd, sched::readiness what, Handler&& h)
      : readiness_case_core(fd, what), handler_(std::forward<Handler>(h)) {}
  select_case* prepare() noexcept { return this; }
  void handle() { handler_(); }

 private:
  Handler handler_;
};

/// The limit runs from each select on.
template <class Handler>
class timeout_case final : public select_case, public conditional_case<timeout_case<Handler>> {
 public:
  timeout_case(duration limit, Handler&& h) : limit_(limit), handler_(std::forward<Handler>(h)) {}
  select_case* prepare() noexcept {
    deadline_ = limit_.from_now();
    return this;
  }
  time_point deadline() const noexcept override { return deadline_; }
  void handle() { handler_(); }

 private:
  duration limit_;
  time_point deadline_ = never;
  Handler handler_;
};

template <class Handler>
class otherwise_case final : public select_case, public conditional_case<otherwise_case<Handler>> {
 public:
  explicit otherwise_case(Handler&& h) : handler_(std::forward<Handler>(h)) { otherwise = true; }
  select_case* prepare() noexcept { return this; }
  void handle() { handler_(); }

 private:
  Handler handler_;
};

template <class C>
concept any_select_case = std::derived_from<std::remove_cvref_t<C>, select_case>;

/// A function whose result is exactly an element; it may be convertible to one as well (std::any).
template <class V, class T>
concept supplies = !std::is_same_v<std::remove_cvref_t<V>, T> && std::invocable<std::decay_t<V>&> &&
                   std::is_same_v<std::invoke_result_t<std::decay_t<V>&>, T>;

template <class End>
using element_of = typename std::remove_cvref_t<End>::value_type;

template <class End>
concept can_receive = std::derived_from<std::remove_cvref_t<End>, receiving<std::remove_cvref_t<End>, element_of<End>>>;
template <class End>
concept can_send = std::derived_from<std::remove_cvref_t<End>, sending<std::remove_cvref_t<End>, element_of<End>>>;

}  // namespace detail

/// Receives from rx (any receiving end, a timer, a ticker, a signal channel) and calls f(std::optional<T>): nullopt when
/// the channel is closed and drained.
template <detail::can_receive End, class F>
  requires std::invocable<std::decay_t<F>&, std::optional<detail::element_of<End>>>
auto on_receive(End&& rx, F&& f) {
  return detail::receive_case<detail::element_of<End>, End, std::decay_t<F>>(std::forward<End>(rx), std::decay_t<F>(std::forward<F>(f)));
}
/// Receives from rx into out.
template <detail::can_receive End>
auto on_receive(End&& rx, std::optional<detail::element_of<End>>& out) {
  return detail::receive_case<detail::element_of<End>, End, std::optional<detail::element_of<End>>&>(std::forward<End>(rx), out);
}
/// Receives from rx and drops the value.
template <detail::can_receive End>
auto on_receive(End&& rx) {
  return on_receive(std::forward<End>(rx), [](std::optional<detail::element_of<End>>) {});
}
/// Sends v (moved from only if this case takes place) and calls f(). In a selector v is a function that supplies the
/// value, called before the look; a value that was not sent is offered again by the next run.
template <detail::can_send End, class V, class F = detail::no_handler>
auto on_send(End&& tx, V&& v, F&& f = {}) {
  using T = detail::element_of<End>;
  using handler = std::decay_t<F>;
  if constexpr (std::is_same_v<V, T>) {  // an rvalue of the element's type: borrowed
    return detail::send_case<T, End, T&&, handler>(std::forward<End>(tx), std::move(v), handler(std::forward<F>(f)));
  } else if constexpr (std::is_convertible_v<V&&, T> && !detail::supplies<V, T>) {
    return detail::send_case<T, End, T, handler>(std::forward<End>(tx), T(std::forward<V>(v)), handler(std::forward<F>(f)));
  } else {
    return detail::send_case<T, End, std::decay_t<V>, handler>(std::forward<End>(tx), std::decay_t<V>(std::forward<V>(v)),
                                                               handler(std::forward<F>(f)));
  }
}
/// Ready when ctx is canceled.
template <class F = detail::no_handler>
auto on_done(const context& ctx, F&& f = {}) {
  return detail::done_case<std::decay_t<F>>(detail::node_of(ctx), std::decay_t<F>(std::forward<F>(f)));
}
/// Ready after `limit`, counted from the select (each run of a selector); at once when it is not positive.
template <class F = detail::no_handler>
auto on_timeout(duration limit, F&& f = {}) {
  return detail::timeout_case<std::decay_t<F>>(limit, std::decay_t<F>(std::forward<F>(f)));
}
/// Ready when the task has ended.
template <class R, class F = detail::no_handler>
auto on_join(const task<R>& t, F&& f = {}) {
  return detail::join_case<std::decay_t<F>>(t.core_pointer(), std::decay_t<F>(std::forward<F>(f)));
}
/// Acquires n permits of s when they are free and nobody waits who came before: permit::adopt(s, n) takes them over.
template <std::invocable F = detail::no_handler>
auto on_acquire(semaphore& s, std::ptrdiff_t n = 1, F&& f = {}) {
  return detail::acquire_case<std::decay_t<F>>(s, n, std::decay_t<F>(std::forward<F>(f)));
}
template <std::invocable F>
auto on_acquire(semaphore& s, F&& f) {
  return on_acquire(s, 1, std::forward<F>(f));
}
/// Ready when fd can be read (or written) without blocking, or has an error.
template <class F = detail::no_handler>
auto on_readable(int fd, F&& f = {}) {
  return detail::readiness_case<std::decay_t<F>>(fd, sched::readiness::readable, std::decay_t<F>(std::forward<F>(f)));
}
template <class F = detail::no_handler>
auto on_writable(int fd, F&& f = {}) {
  return detail::readiness_case<std::decay_t<F>>(fd, sched::readiness::writable, std::decay_t<F>(std::forward<F>(f)));
}
/// Runs when no other case is ready: the select does not block.
template <class F = detail::no_handler>
auto otherwise(F&& f = {}) {
  return detail::otherwise_case<std::decay_t<F>>(std::decay_t<F>(std::forward<F>(f)));
}

namespace detail {
template <class... Cases>
std::size_t select_one(context_node* extra, Cases&... cases) {
  select_case* list[sizeof...(Cases) + 1] = {cases.prepare()..., nullptr};
  const std::size_t chosen = run_select({list, sizeof...(Cases)}, extra);
  std::size_t i = 0;
  ((i++ == chosen ? cases.handle() : void()), ...);
  return chosen;
}
}  // namespace detail

/// Waits until one of the cases is ready, does it, calls its handler, and returns its index.
/// - blocks: until a case is ready; never with `otherwise`
/// - cancel: throws canceled, no case takes place; ignored with `otherwise`
/// - threads: any
template <detail::any_select_case... Cases>
RUNNEL_PARKS std::size_t select(Cases&&... cases) {
  return detail::select_one(nullptr, cases...);
}
/// The same, observing ctx and the ambient context. Unlike on_done(ctx), it throws, and before any case that is ready.
/// - blocks: until a case is ready; never with `otherwise`
/// - cancel: throws canceled, no case takes place; ignored with `otherwise`
/// - threads: any
template <detail::any_select_case... Cases>
RUNNEL_PARKS std::size_t select(const context& ctx, Cases&&... cases) {
  return detail::select_one(&detail::node_of(ctx), cases...);
}

/// A select whose cases are added at run time and that can run many times. Handlers, suppliers and channel ends are kept
/// inside; an `out` of on_receive is borrowed. Not for use by two at the same time.
class selector {
 public:
  selector() = default;
  selector(selector&&) noexcept = default;
  selector& operator=(selector&&) noexcept = default;

  /// Adds a case; its index is the number of cases before it.
  template <detail::any_select_case Case>
  selector& add(Case&& c) {
    static_assert(!std::is_lvalue_reference_v<Case>, "runnel::selector::add takes the case itself: add(on_receive(...))");
    entries_.push_back(std::make_unique<owned<decltype(own(std::move(c)))>>(own(std::move(c))));
    return *this;
  }
  std::size_t size() const noexcept { return entries_.size(); }

  /// As select().
  /// - blocks: until a case is ready; never with `otherwise`
  /// - cancel: throws canceled, no case takes place; ignored with `otherwise`
  /// - threads: any, one at a time
  RUNNEL_PARKS std::size_t run() { return run_one(nullptr); }
  RUNNEL_PARKS std::size_t run(const context& ctx) { return run_one(&detail::node_of(ctx)); }

 private:
  struct entry {
    virtual ~entry() = default;
    virtual detail::select_case* prepare() = 0;
    virtual void handle() = 0;
  };
  template <class Case>
  struct owned final : entry {
    explicit owned(Case&& c) : value(std::move(c)) {}
    detail::select_case* prepare() override { return value.prepare(); }
    void handle() override { value.handle(); }
    Case value;
  };
  std::size_t run_one(detail::context_node* extra) {
    list_.clear();
    for (auto& e : entries_) list_.push_back(e->prepare());
    const std::size_t chosen = detail::run_select(list_, extra);
    entries_[chosen]->handle();
    return chosen;
  }
  /// A copy of the handle; what cannot be copied (a timer) is moved in, or borrowed where it was given by name.
  template <class End>
  using owned_end = std::conditional_t<std::is_lvalue_reference_v<End> && !std::is_copy_constructible_v<std::remove_cvref_t<End>>,
                                       End, std::remove_cvref_t<End>>;

  template <class T, class End, class H>
  static auto own(detail::receive_case<T, End, H>&& c) {
    return std::move(c).template with_end<owned_end<End>>();
  }
  template <class T, class End, class V, class H>
  static auto own(detail::send_case<T, End, V, H>&& c) {
    static_assert(!std::is_same_v<std::remove_cvref_t<V>, T>,
                  "runnel::selector: a send case takes a function that supplies the value, because it may run many times");
    return std::move(c).template with_end<owned_end<End>>();
  }
  template <class Case>
  static Case own(Case&& c) {
    return std::move(c);
  }

  std::vector<std::unique_ptr<entry>> entries_;
  std::vector<detail::select_case*> list_;
};

}  // namespace runnel::inline RUNNEL_ABI
