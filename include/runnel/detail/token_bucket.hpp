// The core of rate_limiter: a token bucket in one word. Its protocol stands in src/patterns/token_bucket.cpp.
//
// The word says when the bucket will be full again if nobody takes anything more; in that form nothing has to be done as
// time passes. A bucket of b tokens, one each T ns, that is full again at W has b - (W - now) / T tokens; below zero they
// are owed.
// Source: the generic cell rate algorithm, ITU-T I.371; R. Jones' formulation as "theoretical arrival time".
#pragma once

#include <runnel/base/atomic.hpp>
#include <runnel/sched/waiter.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::detail {

class token_bucket {
 public:
  using instant = std::int64_t;  ///< ns of the clock
  static constexpr instant refused = INT64_MAX;

  struct limits {
    double rate = 0;  ///< tokens a second: 0, none come; infinite, no limit
    std::uint64_t burst = 0;
  };
  /// Tokens that were taken, or are owed.
  struct booking {
    instant act = refused;       ///< when they are there
    instant full = 0;            ///< when the bucket is full again after them
    std::uint32_t settings = 0;  ///< under which they were booked
  };
  /// Up to where bookings are possible. `none`: more than the burst too, and what never comes.
  enum class bound : std::uint8_t { burst, none };

  /// Full. Throws misuse for limits that make no sense.
  explicit token_bucket(limits l, instant now);

  /// Books n tokens if they will be there at `latest`; else refused, and nothing has changed. No limit: at once.
  booking book(instant now, std::uint64_t n, instant latest, bound b = bound::burst) noexcept;
  /// Takes n tokens that are there.
  bool take(instant now, std::uint64_t n) noexcept;
  /// When n tokens would be there for who books them now, whatever the burst.
  instant when(instant now, std::uint64_t n) const noexcept;
  /// Whether those who booked behind one that is given back keep their places, and with them its tokens.
  enum class behind : std::uint8_t { stays, moves_up };
  /// Takes back a booking of n tokens, of which none was used. After other settings have come nobody is known to be behind.
  void give_back(const booking& b, instant now, std::uint64_t n, behind what) noexcept;
  double tokens(instant now) const noexcept;

  /// Its lock serializes what follows; what waits for a change may be linked under it.
  mutable sched::wait_object changes;
  const limits& current() const noexcept { return current_; }
  /// From now on other limits; there are as many tokens as before, or as many are owed. Moves `also`, if any, to when it is
  /// under the new limits. Throws misuse as the constructor, and then nothing has changed.
  void change(limits l, instant now, booking* also);

 private:
  /// The settings as they are used.
  struct scale {
    double interval;        ///< ns from token to token; 0: no limit
    std::uint64_t burst;
    instant room;           ///< burst * interval
    instant stands_at;      ///< where time stands still for the bucket, if nothing comes
    std::uint32_t number;   ///< of the settings
  };
  static scale scale_of(limits l, instant now, std::uint32_t number);
  static booking outcome(const scale& s, instant full_at, instant now, std::uint64_t n) noexcept;
  scale read() const noexcept;
  void write(const scale& s) noexcept;
  instant consistent(scale& s) const noexcept;
  instant after_change() const noexcept;

  shim::atomic<instant> full_at_;
  shim::atomic<double> interval_{0};
  shim::atomic<instant> room_{0};
  shim::atomic<std::uint64_t> burst_{0};
  shim::atomic<instant> stands_at_{0};
  shim::atomic<std::uint32_t> number_{0};
  limits current_;                  ///< under the lock
  instant changed_at_ = INT64_MIN;  ///< the last time; under the lock
};

}  // namespace runnel::inline RUNNEL_ABI::detail
