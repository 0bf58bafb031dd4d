// Trying again: a function that may fail is called until it succeeds, with growing delays in between.
//
//   auto reply = runnel::retry({.attempts = 5, .budget = 30s, .attempt_timeout = 2s}, [&] { return client.ask(); });
//
// Use when: what failed may well succeed in a moment: a connection, a service that restarts, a lost race. When not: the
// failure is final (say so by `permanent`), or f must not take effect twice.
// Guarantees: what is thrown is the error of the last attempt, as it was thrown. A cancellation of the caller ends it
// at once, in f or between attempts, and is never taken for a failure. No attempt starts behind the budget, and no
// delay is begun that would end behind it.
// Thread-safety: a policy is only read, and may be shared.
// Blocking and cancellation: f runs in the caller's fiber and context; with a context given, in one that ends with
// either. Of the cancellations only a time limit that is not the caller's own counts as a failure: that of the attempt,
// or one that f has set; any other is rethrown.
// Errors: misuse for a policy that makes no sense, before f is called; a misuse that f throws is not retried.
// Cost: nothing but f while it succeeds; a time limit for each attempt, if one is asked for.
// Source: M. Brooker, "Exponential Backoff And Jitter" (2015).
#pragma once

#include <runnel/detail/joined_scope.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

/// How much of a delay is left to chance, so that those who failed together do not come back together.
enum class jitter : std::uint8_t {
  none,
  full,          ///< from nothing to the whole delay
  equal,         ///< from half to the whole delay
  decorrelated,  ///< from `delay` to the delay before times (multiplier + 1)
};

/// What an observer is told of a failed attempt.
struct failed_attempt {
  std::size_t number = 1;  ///< the first is 1
  std::exception_ptr error;
  std::optional<std::chrono::nanoseconds> next_delay;  ///< until the next attempt; none: it gives up
};

struct retry_policy {
  static constexpr std::size_t unlimited = ~std::size_t{0};

  std::size_t attempts = unlimited;  ///< the first included; at least 1
  /// From the first attempt to the beginning of the last; does not interrupt one.
  duration budget = std::chrono::minutes(15);
  duration attempt_timeout = std::chrono::nanoseconds::max();  ///< of each attempt; positive
  duration delay = std::chrono::milliseconds(100);     ///< after the first attempt
  duration max_delay = std::chrono::seconds(30);  ///< at least `delay`
  double multiplier = 2;  ///< by which each delay is longer than the one before; at least 1, finite
  runnel::jitter jitter = runnel::jitter::full;
  /// Whether an error is final; empty: none is. See error_is().
  std::function<bool(const std::exception_ptr&)> permanent = {};
  /// Called for each failed attempt. What it throws ends the retrying.
  std::function<void(const failed_attempt&)> on_failure = {};
  /// Numbers in [0, 1], uniform, for the jitter; empty: the library's.
  std::function<double()> random = {};
};

/// Whether the exception is one of these: .permanent = runnel::error_is<std::invalid_argument, access_denied>
template <class... Errors>
bool error_is(const std::exception_ptr& e) noexcept;

/// The delays of a policy one after the other, for loops that do something else than calling one function.
class retry_delays {
 public:
  /// Refers to the policy. Throws misuse where that makes no sense.
  explicit retry_delays(const retry_policy& policy);
  explicit retry_delays(const retry_policy&&) = delete;
  /// The delay after one more failure; at most max_delay.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  std::chrono::nanoseconds next();
  /// Begins anew: the failures are over.
  void reset() noexcept;

 private:
  double draw() const;
  const retry_policy& policy_;
  /// Nanoseconds, before chance: what the next delay is at most, or what the last one was (decorrelated).
  double longest_;
};

namespace detail {

/// What the attempts of one retry() have in common.
class retry_run {
 public:
  explicit retry_run(const retry_policy& policy);
  /// After a failed attempt, in its handler: whether there is to be another one.
  bool again();
  void wait();
  std::size_t number() const noexcept { return number_; }

 private:
  const retry_policy& policy_;
  retry_delays delays_;
  const time_point end_;
  std::size_t number_ = 1;
  std::chrono::nanoseconds delay_{};
};

}  // namespace detail

/// Calls f(), or f(number of the attempt), until it returns, and returns what it returns.
/// - blocks: as f, and between attempts
/// - cancel: throws canceled at once
/// - threads: any
template <class F>
  requires std::invocable<F&> || std::invocable<F&, std::size_t>
RUNNEL_PARKS decltype(auto) retry(const retry_policy& policy, F&& f) {
  detail::retry_run run(policy);
  const auto attempt = [&]() -> decltype(auto) {
    if constexpr (std::invocable<F&>) {
      return std::invoke(f);
    } else {
      return std::invoke(f, run.number());
    }
  };
  const bool limited = policy.attempt_timeout.nanoseconds() != std::chrono::nanoseconds::max();
  for (;;) {
    try {
      if (limited) return with_timeout(policy.attempt_timeout, attempt);
      return attempt();
    } catch (...) {
      if (!run.again()) throw;
    }
    run.wait();
  }
}

/// The same, observing ctx and the ambient context: f too, whose ambient context ends with either.
/// - blocks: as f, and between attempts
/// - cancel: throws canceled at once
/// - threads: any
template <class F>
  requires std::invocable<F&> || std::invocable<F&, std::size_t>
RUNNEL_PARKS decltype(auto) retry(const context& ctx, const retry_policy& policy, F&& f) {
  const detail::joined_scope both(ctx);
  return retry(policy, std::forward<F>(f));
}

// ---- implementation --------------------------------------------------------------------------------------------

namespace detail {
template <class Error>
bool is_a(const std::exception_ptr& e) noexcept {
  try {
    std::rethrow_exception(e);
  } catch (const Error&) {
    return true;
  } catch (...) {
    return false;
  }
}
}  // namespace detail

template <class... Errors>
bool error_is(const std::exception_ptr& e) noexcept {
  static_assert(sizeof...(Errors) > 0, "error_is<Errors...>: name the types of the errors");
  return (detail::is_a<Errors>(e) || ...);
}

}  // namespace runnel::inline RUNNEL_ABI
