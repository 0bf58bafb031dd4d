// Actors: a state that one fiber owns, and a bounded mailbox through which all others speak to it.
//
//   struct counter { int n = 0; void operator()(int by) { n += by; } };
//   runnel::actor<int> a([] { return counter{}; });  // the factory makes the state, on the actor's own fiber
//   a.tell(5);
//
// Use when: a state has a life of its own: it changes by messages, fails and is made anew, outlives a call. When not:
// many only read or change a value for moments (guarded, concurrent_map); the work needs no state (a task_group).
// How: the state is called with each message, one at a time; where Message is a std::variant and the state is not
// callable with it, with the alternative. A question carries a reply:
//   a.ask<long>([](reply<long> r) { return balance{std::move(r)}; })
// Guarantees: messages of one sender are handled in its order. What happened before tell() happens before the handling,
// and one handling before the next; the last before join() returns. The actor does not outlive its object.
// Thread-safety: telling and asking from any fiber or thread, also through copies of its address, which may outlive it;
// stop, abort, join, from any, join from one at a time.
// Blocking and cancellation: tell waits where the mailbox is full and overflow is `block`; ask waits for the answer.
// The handler runs under the context that was ambient at the actor's making: its cancellation ends the actor.
// Errors: actor_stopped, with what ended the actor as its cause; mailbox_full; no_reply; misuse for an actor that would
// wait for itself. A failure that nobody took by join() goes to the unhandled hook.
// Cost: tell is the send of a channel, handling the receive; a question is one allocation more.
// Source: C. Hewitt et al. (1973); supervision: J. Armstrong, "Making reliable distributed systems …" (2003),
// Erlang/OTP.
#pragma once

#include <runnel/base/atomic.hpp>
#include <runnel/detail/joined_scope.hpp>
#include <runnel/go.hpp>
#include <runnel/patterns/reply.hpp>
#include <runnel/sync/mutex.hpp>

#include <deque>
#include <functional>
#include <string_view>

namespace runnel::inline RUNNEL_ABI {

/// What tell() does when the mailbox is full.
enum class overflow_policy : std::uint8_t {
  block,        ///< waits: the actor's pace becomes that of its senders
  drop_newest,  ///< drops the message that is told
  drop_oldest,  ///< drops the message that has waited longest
  reject,       ///< throws mailbox_full
};

/// What follows when the handler throws. The message that it threw for is gone in any case.
enum class supervision : std::uint8_t {
  stop,     ///< the actor ends; join() throws the exception
  restart,  ///< the factory makes a fresh state; with too many restarts as `stop`
  resume,   ///< goes on with the state as it is; see last_failure()
};

struct actor_options {
  std::size_t mailbox = 64;  ///< messages, at least 1
  overflow_policy overflow = overflow_policy::block;
  supervision on_failure = supervision::stop;
  std::size_t max_restarts = 3;  ///< in any `restart_period`
  duration restart_period = std::chrono::seconds(5);
  std::string_view name = {};  ///< of its fiber, for reports
  stack_class stack = stack_class::standard;
};

/// What became of a message.
enum class tell_status : std::uint8_t { accepted, dropped, full, timed_out, stopped };

/// What has happened in an actor. Every accepted message is handled, failed, dropped, discarded, queued, or in the
/// hands of the handler.
struct actor_counters {
  std::uint64_t handled = 0;   ///< the handler returned
  std::uint64_t failures = 0;  ///< handler or factory threw
  std::uint64_t restarts = 0;
  std::uint64_t dropped = 0;    ///< by drop_newest (never accepted), or by drop_oldest (accepted before)
  std::uint64_t rejected = 0;   ///< mailbox_full, and try_tell's `full`
  std::uint64_t discarded = 0;  ///< accepted, and left in the mailbox at the actor's end
  std::size_t queued = 0;
};

/// A message to an actor that has ended or is stopping.
class actor_stopped : public std::exception {
 public:
  explicit actor_stopped(std::exception_ptr cause) noexcept : cause_(std::move(cause)) {}
  const char* what() const noexcept override { return "the actor has stopped"; }
  /// The failure that ended the actor; null where it was stopped or canceled.
  const std::exception_ptr& cause() const noexcept { return cause_; }

 private:
  std::exception_ptr cause_;
};

/// The mailbox is full, and the policy is `reject`.
class mailbox_full : public std::exception {
 public:
  const char* what() const noexcept override { return "the actor's mailbox is full"; }
};

namespace detail {

/// The part of an actor that does not depend on its message: supervision, the end, the counters.
class actor_core {
 public:
  /// Throws misuse for options that make no sense.
  explicit actor_core(const actor_options& o);

  // By the actor's fiber.
  void begin() noexcept;
  void count_handled() noexcept;
  void count_discarded(std::size_t messages) noexcept;
  /// In a catch block: restart or resume, else rethrows. Without a state to go on with, `resume` is `stop`.
  supervision after_failure(bool has_state);
  /// In a catch block: what flies has ended the actor.
  void ended_by_exception() noexcept;

  // By anybody.
  bool is_the_caller() const noexcept;
  void refuse_itself(const char* what) const;
  void count_dropped() noexcept;
  void count_rejected() noexcept;
  [[noreturn]] void throw_stopped() const;
  actor_counters counters() const noexcept;
  std::exception_ptr last_failure() const;

  // By the owner, when the fiber has ended.
  void rethrow_end(bool aborted);
  void drop_failure() noexcept;

  const actor_options options;

 private:
  bool may_restart();

  mutable mutex lock_;
  // Under lock_.
  std::exception_ptr last_failure_, end_;
  std::deque<time_point> restarts_at_;  ///< within the period
  bool was_canceled_ = false, taken_ = false;

  shim::atomic<this_fiber::id> fiber_{0};
  // handled_ and discarded_ are written by the actor's fiber only.
  shim::atomic<std::uint64_t> handled_{0}, failures_{0}, restarts_{0}, dropped_{0}, rejected_{0}, discarded_{0};
};

/// What an actor and its addresses share.
template <class Message>
class actor_box final : public actor_core {
 public:
  explicit actor_box(const actor_options& o) : actor_core(o), messages(o.mailbox) {}

  tell_status try_post(Message& m) {
    for (;;) {
      switch (messages.try_send(std::move(m))) {
        case channel_status::ok:
          return tell_status::accepted;
        case channel_status::closed:
          return tell_status::stopped;
        default:
          break;
      }
      switch (options.overflow) {
        case overflow_policy::drop_newest:
          count_dropped();
          return tell_status::dropped;
        case overflow_policy::drop_oldest:
          if (messages.try_receive()) count_dropped();
          break;  // there is room, or somebody else has used it
        default:
          count_rejected();
          return tell_status::full;
      }
    }
  }
  tell_status post(Message& m, time_point deadline) {
    if (!may_wait()) return post_without_waiting(m);
    switch (messages.send_until(std::move(m), deadline)) {
      case channel_status::ok:
        return tell_status::accepted;
      case channel_status::closed:
        return tell_status::stopped;
      default:
        return tell_status::timed_out;
    }
  }
  tell_status post(Message& m, const context& ctx) {
    if (!may_wait()) return post_without_waiting(m);
    try {
      messages.send(ctx, std::move(m));
      return tell_status::accepted;
    } catch (const channel_closed&) {
      return tell_status::stopped;
    }
  }
  /// Nobody gets in any more; what is queued ends here.
  void discard() noexcept {
    count_discarded(detail::channel_discard(messages.ref().peek()));
  }

  const channel<Message> messages;

 private:
  bool may_wait() const noexcept { return options.overflow == overflow_policy::block && !is_the_caller(); }
  tell_status post_without_waiting(Message& m) {
    const tell_status s = try_post(m);
    if (s == tell_status::full && options.overflow == overflow_policy::block)
      refuse_itself("runnel::actor::tell: its own mailbox is full, and the actor would wait for itself");
    return s;
  }
};

template <class State, class Message>
inline constexpr bool handles_each = false;
template <class State, class... Alternatives>
inline constexpr bool handles_each<State, std::variant<Alternatives...>> =
    (std::is_invocable_v<State&, Alternatives> && ...);

/// One life of the state. True: another one with a fresh state follows.
template <class Message, class Factory>
bool live(actor_box<Message>& box, Factory& factory) {
  using state_type = std::invoke_result_t<Factory&>;
  static_assert(std::is_invocable_v<state_type&, Message> || handles_each<state_type, Message>,
                "runnel::actor: what the factory makes must be callable with the message, or with each alternative of "
                "it");
  bool made = false;
  try {
    auto state = factory();
    made = true;
    while (std::optional<Message> m = box.messages.receive()) {
      try {
        if constexpr (std::is_invocable_v<state_type&, Message>) {
          static_cast<void>(std::invoke(state, std::move(*m)));
        } else {
          std::visit([&](auto&& each) { static_cast<void>(std::invoke(state, std::move(each))); }, std::move(*m));
        }
        box.count_handled();
      } catch (...) {
        if (box.after_failure(true) == supervision::restart) return true;
      }
    }
    return false;
  } catch (...) {
    if (made) throw;  // it was asked about before, or is none of the handler's
    static_cast<void>(box.after_failure(false));
    return true;
  }
}

}  // namespace detail

/// Where messages to an actor are sent; copies refer to the same one. The actor itself is one too.
template <class Message>
class actor_address {
  static_assert(detail::channel_element<Message>, "runnel::actor: a message is a movable object type");

 public:
  using message_type = Message;
  // A move is a copy: there is no null address.
  actor_address(const actor_address&) = default;
  actor_address& operator=(const actor_address&) = default;

  /// Puts m into the mailbox, as the overflow policy says. False: it was dropped, and m is untouched. Throws
  /// actor_stopped, or mailbox_full where the policy is `reject`; m is moved from only when it was accepted.
  /// - blocks: while the mailbox is full, with overflow_policy::block; else never
  /// - cancel: throws canceled, with overflow_policy::block
  /// - threads: any
  RUNNEL_PARKS bool tell(Message&& m) const { return accepted(box_->post(m, never)); }
  template <std::same_as<Message> M = Message>
    requires std::copy_constructible<M>
  RUNNEL_PARKS bool tell(const M& m) const {
    M copy(m);
    return tell(std::move(copy));
  }
  /// The same, observing ctx and the ambient context.
  /// - blocks: while the mailbox is full, with overflow_policy::block; else never
  /// - cancel: throws canceled, with overflow_policy::block
  /// - threads: any
  RUNNEL_PARKS bool tell(const context& ctx, Message&& m) const { return accepted(box_->post(m, ctx)); }
  template <std::same_as<Message> M = Message>
    requires std::copy_constructible<M>
  RUNNEL_PARKS bool tell(const context& ctx, const M& m) const {
    M copy(m);
    return tell(ctx, std::move(copy));
  }
  /// The same without waiting or throwing: what became of m. A policy that drops drops.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  tell_status try_tell(Message&& m) const { return box_->try_post(m); }
  template <std::same_as<Message> M = Message>
    requires std::copy_constructible<M>
  tell_status try_tell(const M& m) const {
    M copy(m);
    return try_tell(std::move(copy));
  }

  /// Tells make(reply<R>), a message that holds the reply, and waits for the answer. Throws what tell() throws, what
  /// the reply was given to fail with, and no_reply where it ended unanswered: the message was dropped, its handler
  /// failed, the actor has ended. From the actor itself: misuse.
  /// - blocks: until the message is in the mailbox, and until its reply is used or lost
  /// - cancel: throws canceled; an answer that comes later is dropped
  /// - threads: any
  template <class R, class Make>
  RUNNEL_PARKS R ask(Make&& make) const {
    return *ask_until<R>(never, std::forward<Make>(make));
  }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until the message is in the mailbox, and until its reply is used or lost
  /// - cancel: throws canceled; an answer that comes later is dropped
  /// - threads: any
  template <class R, class Make>
  RUNNEL_PARKS R ask(const context& ctx, Make&& make) const {
    return put_question<R>(ctx, std::forward<Make>(make))->get(ctx);
  }
  /// As the first for at most `limit`, nullopt when that came first; the message may be handled all the same.
  template <class R, class Make>
  RUNNEL_PARKS std::optional<R> ask_for(duration limit, Make&& make) const {
    return ask_until<R>(limit.from_now(), std::forward<Make>(make));
  }
  template <class R, class Make>
  RUNNEL_PARKS std::optional<R> ask_until(time_point deadline, Make&& make) const {
    const auto answer = put_question<R>(deadline, std::forward<Make>(make));
    return answer ? answer->get_until(deadline) : std::nullopt;
  }

  /// What has happened so far.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  actor_counters counters() const {
    actor_counters c = box_->counters();
    c.queued = box_->messages.size();
    return c;
  }
  /// Whether no message is accepted any more.
  bool stopped() const { return box_->messages.is_closed(); }
  /// The newest exception of the handler or the factory, whatever became of it; null if there was none.
  std::exception_ptr last_failure() const { return box_->last_failure(); }
  friend bool operator==(const actor_address&, const actor_address&) noexcept = default;

 protected:
  explicit actor_address(const actor_options& o) : box_(std::make_shared<detail::actor_box<Message>>(o)) {}

  detail::actor_box<Message>& box() const noexcept { return *box_; }
  const std::shared_ptr<detail::actor_box<Message>>& shared_box() const noexcept { return box_; }

 private:
  bool accepted(tell_status s) const {
    if (s == tell_status::stopped) box_->throw_stopped();
    if (s == tell_status::full) throw mailbox_full();
    return s == tell_status::accepted;
  }
  /// Puts the question into the mailbox; nullopt: there was no room until the deadline.
  template <class R, class Bound, class Make>
  std::optional<pending_reply<R>> put_question(const Bound& until, Make&& make) const {
    box_->refuse_itself("runnel::actor::ask: an actor that asks itself would wait for itself: call the function");
    auto q = make_question<R>();
    Message m(std::forward<Make>(make)(std::move(q.reply)));
    const tell_status s = box_->post(m, until);
    if (s == tell_status::timed_out) return std::nullopt;
    if (!accepted(s)) throw no_reply();
    return std::move(q.answer);
  }
  std::shared_ptr<detail::actor_box<Message>> box_;
};

/// The actor itself: owns the fiber and the state. Pinned.
template <class Message>
class actor : public actor_address<Message> {
 public:
  /// factory() makes the state, here and after a failure. Its fiber runs under the ambient context. Throws misuse for
  /// options that make no sense, std::bad_alloc without memory for its stack.
  template <class Factory>
    requires std::invocable<std::decay_t<Factory>&>
  RUNNEL_SCOPED_SPAWN actor(const actor_options& options, Factory&& factory,
                            source_location at = source_location::current())
      : actor_address<Message>(options), fiber_(start(std::forward<Factory>(factory), at)) {}
  template <class Factory>
    requires std::invocable<std::decay_t<Factory>&>
  RUNNEL_SCOPED_SPAWN explicit actor(Factory&& factory, source_location at = source_location::current())
      : actor(actor_options{}, std::forward<Factory>(factory), at) {}
  actor(const actor&) = delete;
  actor& operator=(const actor&) = delete;
  /// abort(), and waits for the end, shielded.
  RUNNEL_JOINS ~actor() {
    abort();
    fiber_ = {};
    this->box().drop_failure();
  }

  /// The orderly end: no message is accepted any more, those in the mailbox are handled.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void stop() { this->box().messages.close(); }
  /// The fast end: no message is accepted any more, the handler is canceled, what is in the mailbox is destroyed.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void abort() {
    stop();
    aborted_.store(true, shim::order::release);  // release: pairs with join(), whoever calls it
    fiber_.cancel();
  }
  /// Waits for the actor's end, which it does not bring about. Throws the failure that ended it, each time;
  /// task_canceled where a cancellation did that was not abort()'s.
  /// - blocks: until the actor has ended
  /// - cancel: throws canceled when the caller is canceled; the actor goes on
  /// - threads: any but the actor's own, one at a time
  RUNNEL_PARKS RUNNEL_JOINS void join() {
    this->box().refuse_itself("runnel::actor::join: an actor that joins itself would wait for itself: stop() it");
    fiber_.join();
    this->box().rethrow_end(aborted_.load(shim::order::acquire));  // acquire: pairs with abort()
  }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until the actor has ended
  /// - cancel: throws canceled; the actor goes on
  /// - threads: any but the actor's own, one at a time
  RUNNEL_PARKS RUNNEL_JOINS void join(const context& ctx) {
    const detail::joined_scope both(ctx);
    join();
  }

 private:
  template <class Factory>
  task<void> start(Factory&& factory, source_location at) {
    auto body = [box = this->shared_box(), make = std::decay_t<Factory>(std::forward<Factory>(factory))]() mutable {
      struct discards {
        detail::actor_box<Message>& box;
        ~discards() { box.discard(); }
      } at_end{*box};
      box->begin();
      try {
        while (detail::live(*box, make)) {
        }
      } catch (...) {
        box->ended_by_exception();
      }
    };
    return go(task_options{this->box().options.name, this->box().options.stack}, std::move(body), at);
  }

  shim::atomic<bool> aborted_{false};
  task<void> fiber_;  ///< the last: it uses what stands above
};

}  // namespace runnel::inline RUNNEL_ABI
