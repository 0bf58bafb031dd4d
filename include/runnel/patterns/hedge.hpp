// Hedged calls: when the first attempt is late, another one is started beside it; the first success is the answer.
//
//   const auto page = runnel::hedge({.delay = 50ms, .attempts = 3}, [&] { return fetch(url); });
//
// Use when: a call that may be repeated is sometimes much slower than usual, for reasons of its own (one slow replica,
// a lost packet). When not: it changes something and must happen once; or everything is slow, where more calls make it
// worse.
// Guarantees: at most `attempts` calls of f, each on a fiber of its own, `delay` after the one before; at once, when an
// attempt has failed and more are allowed. The first success is returned; the others are canceled, and all have ended
// when hedge() returns or throws. What happened before hedge() happens before each attempt, which ends before the
// return.
// Blocking and cancellation: f runs below the caller's ambient context, and ends when that is canceled.
// Errors: when all have failed, the error of the last one to fail; an error that is permanent at once. misuse for 0
// attempts.
// Cost: a task of a group for each attempt that is started, one channel.
// Source: J. Dean, L. A. Barroso, "The Tail at Scale" (2013), https://doi.org/10.1145/2408776.2408794.
#pragma once

#include <runnel/detail/joined_scope.hpp>
#include <runnel/select.hpp>
#include <runnel/task_group.hpp>

#include <algorithm>
#include <functional>
#include <variant>

namespace runnel::inline RUNNEL_ABI {

struct hedge_policy {
  /// From one attempt to the next; about the 95th percentile of f's time.
  duration delay = std::chrono::milliseconds(50);
  std::size_t attempts = 2;  ///< at most, the first one included; at least 1
  /// Whether an error makes further attempts pointless; without one none does.
  std::function<bool(const std::exception_ptr&)> is_permanent = {};
};

namespace detail {

/// Throws misuse for what makes no sense.
void check(const hedge_policy& p);

template <class F>
decltype(auto) call_attempt(const F& f, std::size_t attempt) {
  static_assert(std::is_invocable_v<const F&> || std::is_invocable_v<const F&, std::size_t>,
                "runnel::hedge: f is called as f() or f(attempt), by several at a time: as const, so no mutable "
                "lambda");
  if constexpr (std::is_invocable_v<const F&, std::size_t>) {
    return f(attempt);
  } else {
    return f();
  }
}

}  // namespace detail

/// The result of the first attempt that succeeds. f() or f(number of the attempt, from 0).
/// - blocks: until an attempt has succeeded or all have failed, and until those that were canceled have ended
/// - cancel: cancels the attempts, waits for them, throws canceled
/// - threads: any
template <class F>
RUNNEL_PARKS auto hedge(const hedge_policy& policy, F&& f, source_location at = source_location::current()) {
  using result = decltype(detail::call_attempt(f, 0));
  static_assert(!std::is_reference_v<result>,
                "runnel::hedge: f returns a value: what it refers to might end with its attempt");
  using value = std::conditional_t<std::is_void_v<result>, unit, result>;
  using outcome = std::variant<value, std::exception_ptr>;
  detail::check(policy);

  const auto& function = f;
  // There is room for each; nobody has more fibers at a time.
  const channel<outcome> outcomes(std::min(policy.attempts, std::size_t{1} << 32));
  task_group attempts({.name = "hedge"});
  std::size_t started = 0, failed = 0;
  time_point next;
  const auto start = [&] {
    attempts.go(
        [&function, &outcomes, number = started] {
          try {
            if constexpr (std::is_void_v<result>) {
              detail::call_attempt(function, number);
              outcomes.try_send(outcome(std::in_place_index<0>));
            } else {
              outcomes.try_send(outcome(std::in_place_index<0>, detail::call_attempt(function, number)));
            }
          } catch (...) {
            outcomes.try_send(outcome(std::in_place_index<1>, std::current_exception()));
          }
        },
        at);
    ++started;
    next = policy.delay.from_now();
  };

  start();
  for (;;) {
    std::optional<outcome> came;
    const auto take = [&](std::optional<outcome> o) {
      if (o) came.emplace(*std::move(o));
    };
    if (started == policy.attempts) {
      take(outcomes.receive());
    } else {
      select(on_receive(outcomes, take), on_timeout(duration::between(steady_clock::now(), next)));
      if (!came) take(outcomes.try_receive().value);  // both at the same instant
    }
    if (!came) {
      start();
    } else if (came->index() == 0) {
      if constexpr (std::is_void_v<result>) {
        return;
      } else {
        return std::get<0>(std::move(*came));
      }
    } else {
      const std::exception_ptr& error = std::get<1>(*came);
      const bool last = ++failed == policy.attempts;
      if (last || (policy.is_permanent && policy.is_permanent(error))) std::rethrow_exception(error);
      if (started < policy.attempts) start();
    }
  }
}
/// The same, observing ctx and the ambient context: the attempts too, which end with either.
/// - blocks: until an attempt has succeeded or all have failed, and until those that were canceled have ended
/// - cancel: cancels the attempts, waits for them, throws canceled
/// - threads: any
template <class F>
RUNNEL_PARKS auto hedge(const context& ctx, const hedge_policy& policy, F&& f,
                        source_location at = source_location::current()) {
  const detail::joined_scope both(ctx);
  return hedge(policy, std::forward<F>(f), at);
}

}  // namespace runnel::inline RUNNEL_ABI
