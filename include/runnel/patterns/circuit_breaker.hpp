// A circuit breaker: calls to something that keeps failing are refused at once, until a probe says that it works again.
//
//   runnel::circuit_breaker prices({.consecutive_failures = 3, .open_for = 10s});
//   const auto p = prices.call([&] { return runnel::with_timeout(1s, [&] { return ask_for_price(item); }); });
//
// Use when: many call one dependency, and waiting for one that is down costs more than being told so. When not: an
// error is of the caller's own making (is_failure); one caller tries again by itself.
// States: closed, calls go through; too many failures make it open, calls throw circuit_open; after open_for it is
// half-open, `probes` calls go through: if all succeed it is closed, if one fails it is open again.
// Guarantees: never more than `probes` calls at a time while half-open, none while open. The outcome of a call that
// began before the state changed changes nothing. on_change hears of each change once, in order, one at a time.
// Blocking and cancellation: admission never waits; f runs in the caller's context. A cancellation of the caller is
// neither success nor failure, a probe that it ends gives its place back. A time limit inside f is a failure, one
// around call() is not.
// Errors: circuit_open; what f throws; misuse for options that make no sense.
// Cost: two short locks a call; no timer, no fiber, no allocation unless the state changes and on_change is set.
// Source: M. Nygard, "Release It!" (2007).
#pragma once

#include <runnel/base/clock.hpp>
#include <runnel/detail/joined_scope.hpp>
#include <runnel/sync/mutex.hpp>

#include <array>
#include <deque>
#include <exception>
#include <functional>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

enum class circuit_state : std::uint8_t { closed, open, half_open };

struct circuit_breaker_options {
  std::size_t consecutive_failures = 5;        ///< open it; 0: do not
  double failure_ratio = 0;                    ///< of the calls in the window opens it, in (0, 1]; 0: does not
  std::size_t minimum_calls = 20;              ///< in the window, before the ratio counts; at least 1
  duration window = std::chrono::seconds(10);  ///< slides in steps of a tenth
  duration open_for = std::chrono::seconds(30);
  std::size_t probes = 1;  ///< calls while half-open, that must all succeed; at least 1
  /// Whether an exception of f says that the dependency is in trouble; without one each does.
  std::function<bool(const std::exception_ptr&)> is_failure = {};
  /// Hears of each change, on the fiber of the call that made it.
  std::function<void(circuit_state from, circuit_state to)> on_change = {};
};

struct circuit_counters {
  std::uint64_t succeeded = 0, failed = 0;
  std::uint64_t refused = 0;  ///< by circuit_open
  std::uint64_t opened = 0;
};

/// A call that was refused; f was not called.
class circuit_open : public std::exception {
 public:
  explicit circuit_open(std::chrono::nanoseconds retry_after) noexcept : retry_after_(retry_after) {}
  const char* what() const noexcept override { return "the circuit is open"; }
  /// When a probe may be let through; zero while the probes are out.
  std::chrono::nanoseconds retry_after() const noexcept { return retry_after_; }

 private:
  std::chrono::nanoseconds retry_after_;
};

class circuit_breaker {
 public:
  explicit circuit_breaker(circuit_breaker_options options = {});
  circuit_breaker(const circuit_breaker&) = delete;
  circuit_breaker& operator=(const circuit_breaker&) = delete;

  /// Returns what f() returns, throws what it throws; throws circuit_open without calling it.
  /// - blocks: as f
  /// - cancel: as f
  /// - threads: any
  template <class F>
  RUNNEL_PARKS decltype(auto) call(F&& f) {
    admitted_call admitted(*this);
    try {
      return std::forward<F>(f)();
    } catch (...) {
      admitted.threw();
      throw;
    }
  }

  /// The same, and f's ambient context ends with ctx too, whose cancellation is the caller's own: no failure.
  /// - blocks: as f
  /// - cancel: as f
  /// - threads: any
  template <class F>
  RUNNEL_PARKS decltype(auto) call(const context& ctx, F&& f) {
    const detail::joined_scope both(ctx);
    return call(std::forward<F>(f));
  }

  /// As a call would find it now.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  circuit_state state() const;
  circuit_counters counters() const;

 private:
  enum class outcome : std::uint8_t { succeeded, failed, was_canceled };
  /// A call from its admission to its outcome.
  class admitted_call {
   public:
    explicit admitted_call(circuit_breaker& b) : breaker_(b), generation_(b.admit()) {}
    admitted_call(const admitted_call&) = delete;
    admitted_call& operator=(const admitted_call&) = delete;
    ~admitted_call() { breaker_.report(generation_, outcome_); }
    /// In a catch block.
    void threw();

   private:
    circuit_breaker& breaker_;
    const std::uint64_t generation_;
    outcome outcome_ = outcome::succeeded;
  };
  /// A tenth of the window.
  struct slice {
    std::int64_t number = -1;
    std::size_t calls = 0, failures = 0;
  };
  struct change {
    circuit_state from, to;
  };

  std::uint64_t admit();
  void report(std::uint64_t generation, outcome o) noexcept;
  void count_in_window(bool failure) noexcept;
  bool too_many_failures() const noexcept;
  bool may_probe(time_point now) const noexcept;
  void become(circuit_state next) noexcept;
  void tell_changes() noexcept;
  std::int64_t slice_number() const noexcept;

  const circuit_breaker_options options_;
  const time_point made_at_;
  const std::int64_t slice_length_;
  mutable mutex lock_;
  // Under lock_.
  circuit_state state_ = circuit_state::closed;
  std::uint64_t generation_ = 0;  ///< counts changes
  time_point opened_at_{};
  std::size_t consecutive_ = 0;           ///< while closed: failures in a row
  std::size_t probing_ = 0, proved_ = 0;  ///< while half-open: probes that are out, and that succeeded
  std::array<slice, 10> window_;
  circuit_counters counters_;
  std::deque<change> changes_;
  bool telling_ = false;
};

}  // namespace runnel::inline RUNNEL_ABI
