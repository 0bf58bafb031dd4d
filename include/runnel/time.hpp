// Sleeping, timers and tickers, on the runtime's clock.
//
// Use when: something happens later or regularly. For a limit on an operation use with_timeout, the _for forms, or select's
// on_timeout; they need no timer of their own.
// Guarantees: nothing fires early. After stop() or reset() no stale tick is received, as in Go since 1.23. A ticker drops
// ticks that nobody took and never queues more than one.
// Blocking and cancellation: sleep and receive observe the ambient context, and one given first.
// Errors: a ticker's period must be positive: std::invalid_argument.
// Cost: a timer is one allocation and an entry in the runtime's timer queue while it is pending.
#pragma once

#include <runnel/channel.hpp>

namespace runnel::inline RUNNEL_ABI {

/// Returns after `d`; a length that is not positive only lets others run.
/// - blocks: for d
/// - cancel: throws canceled at once
/// - threads: any
RUNNEL_PARKS void sleep_for(duration d);
RUNNEL_PARKS void sleep_for(const context& ctx, duration d);
/// Returns at `t` or later.
RUNNEL_PARKS void sleep_until(time_point t);
RUNNEL_PARKS void sleep_until(const context& ctx, time_point t);

namespace detail {
struct timer_source;
/// The owner of a source and the channel that its ticks arrive in.
class timer_handle {
 public:
  timer_handle() noexcept = default;
  timer_handle(time_point first, std::chrono::nanoseconds period);
  timer_handle(timer_handle&& o) noexcept : ref_(std::move(o.ref_)), source_(std::exchange(o.source_, nullptr)) {}
  timer_handle& operator=(timer_handle&& o) noexcept {
    timer_handle taken(std::move(o));  // the one that is overwritten is stopped with it
    std::swap(ref_, taken.ref_);
    std::swap(source_, taken.source_);
    return *this;
  }
  ~timer_handle();
  bool stop();
  bool reset(time_point next, std::chrono::nanoseconds period);
  const channel_ref& ref() const noexcept { return ref_; }

 private:
  channel_ref ref_;
  timer_source* source_ = nullptr;
};
}  // namespace detail

/// Sends the instant of its firing once, after `d`; received as from a receive_channel (receive, try_receive, range-for,
/// on_receive), which never closes. Move-only; destroying it stops it.
class timer : public detail::receiving<timer, time_point>, public detail::observing<timer> {
 public:
  using value_type = time_point;
  explicit timer(duration d) : handle_(d.from_now(), std::chrono::nanoseconds::zero()) {}

  /// No tick is received after it, not even one that has fired and was not taken. Whether it was still pending.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool stop() { return handle_.stop(); }
  /// stop(), and fires after `d` from now. Whether it was still pending.
  bool reset(duration d) { return handle_.reset(d.from_now(), std::chrono::nanoseconds::zero()); }

  const detail::channel_ref& ref() const noexcept { return handle_.ref(); }

 private:
  detail::timer_handle handle_;
};

/// A timer for a single use: select(on_receive(rx, ...), on_receive(after(1s), ...)).
inline timer after(duration d) { return timer(d); }

/// Sends the instant every `period`. A tick that finds the last one untaken is dropped.
class ticker : public detail::receiving<ticker, time_point>, public detail::observing<ticker> {
 public:
  using value_type = time_point;
  /// Throws std::invalid_argument when the period is not positive.
  explicit ticker(duration period) : handle_(checked(period).from_now(), period.nanoseconds()) {}

  /// No tick is received after it.
  void stop() { static_cast<void>(handle_.stop()); }
  /// Goes on with another period, from now. Throws std::invalid_argument, and ticks on as before, when it is not positive.
  void reset(duration period) { static_cast<void>(handle_.reset(checked(period).from_now(), period.nanoseconds())); }

  const detail::channel_ref& ref() const noexcept { return handle_.ref(); }

 private:
  static const duration& checked(const duration& period);
  detail::timer_handle handle_;
};

}  // namespace runnel::inline RUNNEL_ABI
