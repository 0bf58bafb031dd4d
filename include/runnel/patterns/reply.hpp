// The right to answer one question: goes with the question, and tells the one who asked when it is lost.
//
// Use when: a message wants an answer: actor::ask makes one, make_question makes one for a channel.
// Guarantees: the one who asked gets the answer, the exception of fail(), or, when the reply ends unanswered on
// whatever path, no_reply: it never waits for ever. What happened before the answer happens before the asking call
// returns.
// Blocking and cancellation: answering never waits; the answer to somebody who has given up is dropped.
// Errors: a second answer, and one through a reply that was moved from, throw misuse.
// Cost: one channel with room for the answer: one allocation a question.
// Source: the From of Erlang's gen_server:call; tokio's oneshot channel.
#pragma once

#include <runnel/channel.hpp>

#include <variant>

namespace runnel::inline RUNNEL_ABI {

/// The question was dropped without an answer.
class no_reply : public std::exception {
 public:
  const char* what() const noexcept override { return "the question was dropped without an answer"; }
};

template <class R>
class pending_reply;
template <class R>
class reply;
template <class R>
struct question;
template <class R>
question<R> make_question();

/// Answers once; move-only. R: unit where only the moment counts.
template <class R>
class reply {
  static_assert(detail::channel_element<R>, "runnel::reply: an answer is a movable object type; unit stands for void");

 public:
  reply(reply&&) noexcept = default;
  reply& operator=(reply&&) noexcept = default;

  /// Answers. False: nobody waits for it any more.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  bool operator()(R value) { return deliver(answer(std::in_place_index<0>, std::move(value))); }
  /// The one who asked gets this exception.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  bool fail(std::exception_ptr e) { return deliver(answer(std::in_place_index<1>, std::move(e))); }
  /// Whether somebody still waits for the answer: long work can be spared.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  bool wanted() const { return to_ && !to_.is_closed(); }

 private:
  friend class pending_reply<R>;
  friend question<R> make_question<R>();
  using answer = std::variant<R, std::exception_ptr>;
  explicit reply(send_channel<answer> to) noexcept : to_(std::move(to)) {}
  bool deliver(answer&& a) {
    if (!to_) detail::throw_misuse("runnel::reply: the question was answered before, or the reply moved from");
    const send_channel<answer> to = std::exchange(to_, {});
    return to.try_send(std::move(a)) == channel_status::ok;
  }
  send_channel<answer> to_;
};

/// The other end: waits for the answer. Move-only.
template <class R>
class [[nodiscard]] pending_reply {
 public:
  pending_reply(pending_reply&&) noexcept = default;
  pending_reply& operator=(pending_reply&&) noexcept = default;

  /// The answer; throws what fail() was given, or no_reply.
  /// - blocks: until the reply is used, or lost
  /// - cancel: throws canceled
  /// - threads: owner, once
  RUNNEL_PARKS R get() const { return taken(from_.receive()); }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until the reply is used, or lost
  /// - cancel: throws canceled
  /// - threads: owner, once
  RUNNEL_PARKS R get(const context& ctx) const { return taken(from_.receive(ctx)); }
  /// The same until `deadline`: nullopt when that came first.
  RUNNEL_PARKS std::optional<R> get_until(time_point deadline) const {
    auto r = from_.receive_until(deadline);
    if (r.status == channel_status::timed_out) return std::nullopt;
    return taken(std::move(r.value));
  }
  RUNNEL_PARKS std::optional<R> get_for(duration limit) const { return get_until(limit.from_now()); }

 private:
  friend question<R> make_question<R>();
  using answer = typename reply<R>::answer;
  explicit pending_reply(receive_channel<answer> from) noexcept : from_(std::move(from)) {}
  static R taken(std::optional<answer> a) {
    if (!a) throw no_reply();
    if (a->index() == 1) std::rethrow_exception(std::get<1>(*a));
    return std::move(std::get<0>(*a));
  }
  receive_channel<answer> from_;
};

/// Both ends of a question.
template <class R>
struct question {
  runnel::reply<R> reply;
  pending_reply<R> answer;
};
template <class R>
question<R> make_question() {
  auto ends = make_channel<typename runnel::reply<R>::answer>(1);
  return {runnel::reply<R>(std::move(ends.tx)), pending_reply<R>(std::move(ends.rx))};
}

}  // namespace runnel::inline RUNNEL_ABI
