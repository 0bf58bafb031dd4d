// Channels: typed queues between fibers and threads that block the sender when full and the receiver when empty.
//
// Use when: values change hands, stages run side by side, work is handed out, an end must be announced.
// When not: guarding a shared structure in place; a mutex is simpler and cheaper.
// How: auto [tx, rx] = make_channel<T>(capacity) gives two ends that close by themselves: the receiver's loop
// `for (auto& v : rx)` ends when the last sender is gone; a sender meets channel_closed when nobody can receive any more.
// channel<T> holds both ends, as in Go, and is closed by hand. make_channel<T, spsc>(capacity) is for one sender and one
// receiver, and faster.
// Guarantees: values and waiters are served strictly first in, first out. What happened before the k-th send happens
// before the k-th receive returns; the k-th receive before the send k + capacity returns; close() before whoever sees it.
// Thread-safety: any operation from any fiber or thread on copies of a handle; one handle object is not to be destroyed
// or assigned while another thread uses it.
// Blocking and cancellation: send and receive block and observe the ambient context (and one given first); canceled they
// throw, and no value is lost: an operation that had been served returns normally. try_ and _for/_until forms: see there.
// Errors: sending on a closed channel throws channel_closed, the value stays with the caller. Null handles (default-made,
// moved-from) throw misuse. Absurd capacities throw std::length_error. An element's throwing move reaches whoever
// executes it and changes nothing else; moves run under the channel's lock and must not use the channel.
// Cost: one allocation a channel, its buffer included; one of more than 256 elements grows in segments instead.
// Source: Go's channels (src/runtime/chan.go); semantics of closing by ownership: Rust's std::sync::mpsc.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/base/refill.hpp>
#include <runnel/context.hpp>
#include <runnel/detail/channel_core.hpp>
#include <runnel/detail/spsc_core.hpp>
#include <runnel/error.hpp>

#include <algorithm>
#include <concepts>
#include <iterator>
#include <span>

namespace runnel::inline RUNNEL_ABI {

/// An empty element, for channels that only signal.
struct unit {
  friend constexpr bool operator==(unit, unit) noexcept { return true; }
};

// The flavours of make_channel.
struct mpmc {};  ///< any number of senders and receivers
struct spsc {};  ///< one of each: see below

template <class T>
class channel;
template <class T, class Flavour = mpmc>
class send_channel;
template <class T, class Flavour = mpmc>
class receive_channel;

/// What a receive that does not wait for ever brought: the status, and with ok the value.
template <class T>
struct try_receive_result {
  channel_status status = channel_status::would_block;
  std::optional<T> value;
  explicit operator bool() const noexcept { return status == channel_status::ok; }
};

namespace detail {

template <class T>
concept channel_element = std::move_constructible<T> && std::is_nothrow_destructible_v<T> && !std::is_reference_v<T> &&
                          !std::is_const_v<T>;

/// The operations of an end that can send; Derived provides ref(). Those that copy are templates so that an element may
/// itself hold an end of its channel: the constraint is looked at when one is called.
template <class Derived, class T>
class sending {
 public:
  /// Hands v over; moved from only when it succeeds.
  /// Throws channel_closed when the channel is or becomes closed.
  /// - blocks: until a receiver or the buffer takes it
  /// - cancel: throws canceled, v is untouched
  /// - threads: any
  RUNNEL_PARKS void send(T&& v) const { checked_send(v, {}); }
  RUNNEL_PARKS void send(const context& ctx, T&& v) const { checked_send(v, {true, never, &node_of(ctx)}); }
  /// The same with a copy, made before the channel is touched.
  template <std::same_as<T> U = T>
    requires std::copy_constructible<U>
  RUNNEL_PARKS void send(const U& v) const {
    T copy(v);
    checked_send(copy, {});
  }
  template <std::same_as<T> U = T>
    requires std::copy_constructible<U>
  RUNNEL_PARKS void send(const context& ctx, const U& v) const {
    T copy(v);
    checked_send(copy, {true, never, &node_of(ctx)});
  }

  /// ok, would_block or closed; v is moved from only with ok.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  channel_status try_send(T&& v) const { return channel_send(core(), std::addressof(v), {false, never, nullptr}); }
  template <std::same_as<T> U = T>
    requires std::copy_constructible<U>
  channel_status try_send(const U& v) const {
    T copy(v);
    return try_send(std::move(copy));
  }
  /// ok, timed_out or closed; v is moved from only with ok. A limit that is not positive still tries once.
  /// - blocks: at most for the limit
  /// - cancel: throws canceled, v is untouched
  /// - threads: any
  RUNNEL_PARKS channel_status send_for(T&& v, duration limit) const { return send_until(std::move(v), limit.from_now()); }
  template <std::same_as<T> U = T>
    requires std::copy_constructible<U>
  RUNNEL_PARKS channel_status send_for(const U& v, duration limit) const {
    T copy(v);
    return send_until(std::move(copy), limit.from_now());
  }
  RUNNEL_PARKS channel_status send_until(T&& v, time_point deadline) const {
    return channel_send(core(), std::addressof(v), {true, deadline, nullptr});
  }
  template <std::same_as<T> U = T>
    requires std::copy_constructible<U>
  RUNNEL_PARKS channel_status send_until(const U& v, time_point deadline) const {
    T copy(v);
    return send_until(std::move(copy), deadline);
  }
  /// Sends the elements in order, moving from each as it goes. The count sent; short only when closed. What the channel can
  /// take at once is sent under one lock: cheaper than as many sends.
  /// - blocks: until all are taken
  /// - cancel: throws canceled; those before were sent
  /// - threads: any
  RUNNEL_PARKS std::size_t send_n(std::span<T> values) const { return send_all(values, nullptr); }
  RUNNEL_PARKS std::size_t send_n(const context& ctx, std::span<T> values) const {
    return send_all(values, &node_of(ctx));
  }
  /// Closes the channel: what is buffered can still be received, blocked senders throw. False when it was closed already.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool close() const { return channel_close(core()); }

 private:
  auto* core() const { return static_cast<const Derived&>(*this).ref().get(); }
  void checked_send(T& v, const channel_wait& how) const {
    if (channel_send(core(), std::addressof(v), how) != channel_status::ok) throw channel_closed();
  }
  std::size_t send_all(std::span<T> values, context_node* extra) const {
    if (values.empty()) {
      check_channel_operation(core(), extra);
      return 0;
    }
    return channel_send_n(core(), values.data(), sizeof(T), values.size(), extra);
  }
};

/// Input iterator over what is received until the channel is closed and drained.
template <class End, class T>
class receive_iterator {
 public:
  using value_type = T;
  using difference_type = std::ptrdiff_t;
  using iterator_concept = std::input_iterator_tag;

  receive_iterator() noexcept = default;
  explicit receive_iterator(const End& e) : end_(&e), value_(e.receive()) {}
  T& operator*() const noexcept { return *value_; }
  receive_iterator& operator++() {
    value_.reset();
    refill(value_, end_->receive());
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const receive_iterator& i, std::default_sentinel_t) noexcept { return !i.value_.has_value(); }

 private:
  const End* end_ = nullptr;
  mutable std::optional<T> value_;
};

/// The operations of an end that can receive.
template <class Derived, class T>
class receiving {
 public:
  /// The next value; nullopt when the channel is closed and drained.
  /// - blocks: until there is one
  /// - cancel: throws canceled, nothing is received
  /// - threads: any
  RUNNEL_PARKS std::optional<T> receive() const { return blocking_receive({}); }
  RUNNEL_PARKS std::optional<T> receive(const context& ctx) const { return blocking_receive({true, never, &node_of(ctx)}); }

  /// ok with the value, would_block, or closed (and drained).
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  try_receive_result<T> try_receive() const { return limited_receive({false, never, nullptr}); }
  /// ok with the value, timed_out, or closed (and drained). A limit that is not positive still tries once.
  /// - blocks: at most for the limit
  /// - cancel: throws canceled, nothing is received
  /// - threads: any
  RUNNEL_PARKS try_receive_result<T> receive_for(duration limit) const { return receive_until(limit.from_now()); }
  RUNNEL_PARKS try_receive_result<T> receive_until(time_point deadline) const {
    return limited_receive({true, deadline, nullptr});
  }
  /// Assigns received values to the elements in order. The count received; short only when closed and drained. What is there
  /// is received under one lock: cheaper than as many receives.
  /// - blocks: until all have come
  /// - cancel: throws canceled; those before were received
  /// - threads: any
  RUNNEL_PARKS std::size_t receive_n(std::span<T> out) const { return receive_all(out, nullptr); }
  RUNNEL_PARKS std::size_t receive_n(const context& ctx, std::span<T> out) const {
    return receive_all(out, &node_of(ctx));
  }

  /// for (auto& v : rx) receives until the channel is closed and drained.
  RUNNEL_PARKS auto begin() const { return receive_iterator<Derived, T>(static_cast<const Derived&>(*this)); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  auto* core() const { return static_cast<const Derived&>(*this).ref().get(); }
  std::optional<T> blocking_receive(const channel_wait& how) const {
    std::optional<T> v;
    channel_receive(core(), &v, how);
    return v;
  }
  try_receive_result<T> limited_receive(const channel_wait& how) const {
    try_receive_result<T> r;
    r.status = channel_receive(core(), &r.value, how);
    return r;
  }
  std::size_t receive_all(std::span<T> out, context_node* extra) const {
    if (out.empty()) check_channel_operation(core(), extra);
    // An assignment that throws loses no more than its own value.
    constexpr std::size_t room = 512 / sizeof(std::optional<T>);
    constexpr std::size_t at_once = std::is_nothrow_move_assignable_v<T> && room > 1 ? std::min<std::size_t>(room, 32) : 1;
    std::size_t n = 0;
    while (n < out.size()) {
      std::optional<T> values[at_once];
      const std::size_t came =
          channel_receive_some(core(), values, sizeof *values, std::min<std::size_t>(at_once, out.size() - n), extra);
      if (came == 0) break;
      for (std::size_t i = 0; i < came; ++i) out[n + i] = std::move(*values[i]);
      n += came;
    }
    return n;
  }
};

/// What can be asked of any end.
template <class Derived>
class observing {
 public:
  /// Values in the buffer at this moment.
  std::size_t size() const { return channel_size(core()); }
  std::size_t capacity() const { return channel_capacity(core()); }
  bool is_closed() const { return channel_is_closed(core()); }
  /// Whether it refers to a channel.
  explicit operator bool() const noexcept { return static_cast<const Derived&>(*this).ref().peek() != nullptr; }

 private:
  auto* core() const { return static_cast<const Derived&>(*this).ref().get(); }
};

/// A handle that counts, or not, for automatic closing.
template <void (*Add)(channel_core*) noexcept, void (*Drop)(channel_core*) noexcept>
class counted_ref {
 public:
  counted_ref() noexcept = default;
  /// One that is counted takes over a count of a new channel.
  counted_ref(channel_ref r, bool counted) noexcept : ref_(std::move(r)), counted_(counted) {}
  counted_ref(const counted_ref& o) noexcept : ref_(o.ref_), counted_(o.counted_) {
    if (channel_core* c = ref_.peek(); c && counted_) Add(c);
  }
  counted_ref(counted_ref&& o) noexcept : ref_(std::move(o.ref_)), counted_(std::exchange(o.counted_, false)) {}
  counted_ref& operator=(counted_ref o) noexcept {
    std::swap(ref_, o.ref_);
    std::swap(counted_, o.counted_);
    return *this;
  }
  ~counted_ref() {
    if (channel_core* c = ref_.peek(); c && counted_) Drop(c);
  }
  const channel_ref& ref() const noexcept { return ref_; }

 private:
  channel_ref ref_;
  bool counted_ = false;
};

}  // namespace detail

/// The sending end. Copies of an end from make_channel share the right to send: when the last is gone, the channel closes.
template <class T>
class send_channel<T, mpmc> : public detail::sending<send_channel<T>, T>, public detail::observing<send_channel<T>> {
 public:
  using value_type = T;
  send_channel() noexcept = default;
  send_channel(detail::channel_ref r, bool counted) noexcept : handle_(std::move(r), counted) {}
  const detail::channel_ref& ref() const noexcept { return handle_.ref(); }
  friend bool operator==(const send_channel& a, const send_channel& b) noexcept { return a.ref() == b.ref(); }

 private:
  detail::counted_ref<&detail::channel_add_sender, &detail::channel_drop_sender> handle_;
};

/// The receiving end. When the last copy of an end from make_channel is gone, what is buffered is destroyed at once and
/// blocked and later senders get channel_closed.
template <class T>
class receive_channel<T, mpmc> : public detail::receiving<receive_channel<T>, T>,
                                 public detail::observing<receive_channel<T>> {
 public:
  using value_type = T;
  receive_channel() noexcept = default;
  receive_channel(detail::channel_ref r, bool counted) noexcept : handle_(std::move(r), counted) {}
  const detail::channel_ref& ref() const noexcept { return handle_.ref(); }
  friend bool operator==(const receive_channel& a, const receive_channel& b) noexcept { return a.ref() == b.ref(); }

 private:
  detail::counted_ref<&detail::channel_add_receiver, &detail::channel_drop_receiver> handle_;
};

/// Both ends in one handle, as in Go; closed by close(). Converts to either end; such ends do not close by themselves.
template <class T>
class channel : public detail::sending<channel<T>, T>,
                public detail::receiving<channel<T>, T>,
                public detail::observing<channel<T>> {
  static_assert(std::is_nothrow_destructible_v<T>, "runnel: a channel's element must have a noexcept destructor");
  static_assert(detail::channel_element<T>, "runnel: a channel's element is a movable object type");

 public:
  using value_type = T;
  /// capacity 0: every send meets a receive. Throws std::length_error for a capacity beyond the address space.
  explicit channel(std::size_t capacity = 0) : ref_(detail::make_channel_core(detail::element_ops_of<T>::ops, capacity)) {}
  /// A null handle.
  template <class N>
    requires std::same_as<N, std::nullptr_t>
  channel(N) noexcept {}

  operator send_channel<T>() const { return send_channel<T>(ref_, false); }
  operator receive_channel<T>() const { return receive_channel<T>(ref_, false); }
  const detail::channel_ref& ref() const noexcept { return ref_; }
  friend bool operator==(const channel& a, const channel& b) noexcept { return a.ref_ == b.ref_; }

 private:
  detail::channel_ref ref_;
};

/// The sending end of a one-to-one channel: cannot be copied, and is used by one fiber or thread at a time. It must not be
/// destroyed before its operations have returned, by the receiver either.
template <class T>
class send_channel<T, spsc> : public detail::sending<send_channel<T, spsc>, T>,
                              public detail::observing<send_channel<T, spsc>> {
 public:
  using value_type = T;
  using handle = detail::spsc_end<&detail::drop_spsc_sender>;
  send_channel() noexcept = default;
  explicit send_channel(detail::spsc_core* c) noexcept : handle_(c) {}
  const handle& ref() const noexcept { return handle_; }

 private:
  handle handle_;
};

/// The receiving end of a one-to-one channel: as its sending end.
template <class T>
class receive_channel<T, spsc> : public detail::receiving<receive_channel<T, spsc>, T>,
                                 public detail::observing<receive_channel<T, spsc>> {
 public:
  using value_type = T;
  using handle = detail::spsc_end<&detail::drop_spsc_receiver>;
  receive_channel() noexcept = default;
  explicit receive_channel(detail::spsc_core* c) noexcept : handle_(c) {}
  const handle& ref() const noexcept { return handle_; }

 private:
  handle handle_;
};

/// The two ends of a new channel.
template <class T, class Flavour = mpmc>
struct channel_pair {
  send_channel<T, Flavour> tx;
  receive_channel<T, Flavour> rx;
};

/// A channel whose ends close it: auto [tx, rx] = make_channel<int>(64).
/// make_channel<int, spsc>(64) is the one-to-one flavour: the same operations for one sender and one receiver, without
/// a lock, and without a read-modify-write while there is something to do. Its capacity is at least 1 (else misuse), and
/// its buffer is allocated at once.
template <class T, class Flavour = mpmc>
channel_pair<T, Flavour> make_channel(std::size_t capacity = 0) {
  static_assert(sizeof(channel<T>) != 0);  // what it asserts of T holds for the ends too
  if constexpr (std::is_same_v<Flavour, spsc>) {
    detail::spsc_core* c = detail::make_spsc_core(detail::element_ops_of<T>::ops, capacity);
    return {send_channel<T, spsc>(c), receive_channel<T, spsc>(c)};
  } else {
    detail::channel_core* c = detail::make_channel_core(detail::element_ops_of<T>::ops, capacity, true);
    return {send_channel<T>(detail::channel_ref(c), true), receive_channel<T>(detail::channel_ref(c), true)};
  }
}

}  // namespace runnel::inline RUNNEL_ABI
