// The one clock. Everything that reads the time reads it here.
#pragma once

#include <runnel/base/abi.hpp>

#include <chrono>
#include <limits>

namespace runnel::inline RUNNEL_ABI {

/// The monotonic clock of the runtime; its time_point is std::chrono::steady_clock's.
struct steady_clock {
  using duration = std::chrono::steady_clock::duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::steady_clock::time_point;
  static constexpr bool is_steady = true;

  /// The present instant; inside a bubble the bubble's.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  static time_point now() noexcept;
};

using time_point = steady_clock::time_point;

namespace detail {
/// The wall clock, for deadlines that are given in it.
std::chrono::system_clock::time_point system_now() noexcept;
}

/// Later than every instant: "no deadline".
inline constexpr time_point never = time_point::max();

/// A length of time in nanoseconds, made from any std::chrono duration; what does not fit is clamped to the
/// longest or shortest that does, so that hours::max() means "practically for ever" and not an overflow.
class duration {
 public:
  template <class Rep, class Period>
  constexpr duration(std::chrono::duration<Rep, Period> d) noexcept : ns_(clamp(d)) {}

  /// From one instant of a clock to another.
  template <class Clock, class From, class To>
  static constexpr duration between(std::chrono::time_point<Clock, From> from, std::chrono::time_point<Clock, To> to) noexcept {
    using exact = std::chrono::duration<long double, std::nano>;  // 64 bits of mantissa, and no overflow
    return exact(to.time_since_epoch()) - exact(from.time_since_epoch());
  }

  constexpr std::chrono::nanoseconds nanoseconds() const noexcept { return ns_; }

  /// `from` plus this length, clamped to `never`.
  constexpr time_point after(time_point from) const noexcept {
    const auto start = from.time_since_epoch();
    if (ns_ > std::chrono::nanoseconds::zero() && start > std::chrono::nanoseconds::max() - ns_) return never;
    if (ns_ < std::chrono::nanoseconds::zero() && start < std::chrono::nanoseconds::min() - ns_)
      return time_point::min();
    return from + ns_;
  }
  /// The present instant plus this length.
  time_point from_now() const noexcept { return after(steady_clock::now()); }

 private:
  template <class Rep, class Period>
  static constexpr std::chrono::nanoseconds clamp(std::chrono::duration<Rep, Period> d) noexcept {
    using seconds = std::chrono::duration<long double>;
    constexpr seconds longest = std::chrono::nanoseconds::max();
    constexpr seconds shortest = std::chrono::nanoseconds::min();
    if (seconds(d) >= longest) return std::chrono::nanoseconds::max();
    if (seconds(d) <= shortest) return std::chrono::nanoseconds::min();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(d);
  }

  std::chrono::nanoseconds ns_;
};

}  // namespace runnel::inline RUNNEL_ABI
