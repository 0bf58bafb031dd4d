// Rate limits: so many a second, and so many at once at most. A bucket of tokens that fills at a rate.
//
//   runnel::rate_limiter limiter(runnel::rate::per_second(100), 10);
//   limiter.wait();                             // paces the caller
//   if (!limiter.allow()) return too_many();    // or turns him away
//
// Use when: something must not be used faster than it can take: a service behind you (wait), or you yourself (allow).
// When not: it is the number at the same time that counts: a semaphore.
// Guarantees: in any time d no more than burst + rate * d tokens are used. Those who wait() get theirs in the order of
// arrival, and allow() does not overtake them; reserve() books at once, so it comes before those who wait, but for the
// first. Who stops waiting has taken nothing. Orders nothing.
// Blocking and cancellation: only the wait forms block.
// Errors: misuse for limits that make no sense, and for waiting for more than the burst, which never comes;
// deadline_exceeded at once for a wait whose tokens would come after the deadline of the context that it was given.
// Cost: allow() reads the clock, and what it allows is one compare-exchange; a refusal writes nothing.
// Source: Go's golang.org/x/time/rate; the generic cell rate algorithm, ITU-T I.371.
#pragma once

#include <runnel/base/clock.hpp>
#include <runnel/context.hpp>
#include <runnel/detail/token_bucket.hpp>
#include <runnel/sync/semaphore.hpp>

#include <cstdint>
#include <limits>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

class rate_limiter;

/// How many tokens come in a time.
class rate {
 public:
  /// Throws misuse when n is negative.
  static rate per_second(double n);
  /// One each d. Throws misuse when d is not positive.
  static rate every(duration d);
  /// No limit, and no burst either.
  static constexpr rate unlimited() noexcept { return rate(std::numeric_limits<double>::infinity()); }
  /// What the bucket has, and nothing more.
  static constexpr rate none() noexcept { return rate(0); }

  constexpr double tokens_per_second() const noexcept { return per_second_; }
  friend constexpr bool operator==(rate, rate) noexcept = default;

 private:
  friend class rate_limiter;
  constexpr explicit rate(double n) noexcept : per_second_(n) {}
  double per_second_;
};

class rate_limiter {
 public:
  /// Tokens that were booked ahead. The limiter must be there as long. Its end gives nothing back: cancel() does.
  class [[nodiscard("the tokens are taken")]] reservation {
   public:
    reservation(reservation&& o) noexcept : of_(std::exchange(o.of_, nullptr)), n_(o.n_), booked_(o.booked_) {}
    reservation& operator=(reservation&& o) noexcept {
      of_ = std::exchange(o.of_, nullptr), n_ = o.n_, booked_ = o.booked_;
      return *this;
    }
    /// Whether there is one: false when it was refused, cancelled, or moved from.
    bool ok() const noexcept { return of_ != nullptr; }
    explicit operator bool() const noexcept { return ok(); }
    /// When the caller may act; `never` if refused.
    time_point time_to_act() const noexcept;
    /// How long the caller has to wait from now on.
    std::chrono::nanoseconds delay() const { return delay_from(steady_clock::now()); }
    std::chrono::nanoseconds delay_from(time_point now) const noexcept;
    /// Gives the tokens back, but for as many as have been booked behind it, whose times to act stay. Nothing when its
    /// own time is over. After a change of the limits all.
    /// - blocks: never
    /// - cancel: ignores
    /// - threads: owner
    void cancel() { cancel_at(steady_clock::now()); }
    void cancel_at(time_point now) noexcept;

   private:
    friend class rate_limiter;
    reservation(rate_limiter* of, std::uint64_t n, detail::token_bucket::booking b) noexcept
        : of_(of), n_(n), booked_(b) {}
    rate_limiter* of_;
    std::uint64_t n_;
    detail::token_bucket::booking booked_;
  };

  /// Full at first. Throws misuse where `burst` tokens take over 70 years to come; a rate at which one takes as long is as
  /// rate::none().
  rate_limiter(rate r, std::uint64_t burst);
  rate_limiter(const rate_limiter&) = delete;
  rate_limiter& operator=(const rate_limiter&) = delete;

  /// Takes n tokens if they are there and nobody waits.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool allow(std::uint64_t n = 1) noexcept;
  /// The same at an instant of the caller's; one before another that was given counts as that one.
  bool allow_at(time_point now, std::uint64_t n = 1) noexcept;

  /// Books n tokens. Refused when n is more than the burst.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  reservation reserve(std::uint64_t n = 1) noexcept;
  reservation reserve_at(time_point now, std::uint64_t n = 1) noexcept;
  /// Refused also when the caller would have to wait for longer.
  reservation reserve_within(duration longest_wait, std::uint64_t n = 1) noexcept;
  reservation reserve_within_at(time_point now, duration longest_wait, std::uint64_t n = 1) noexcept;

  /// Takes n tokens. A change of the limits counts at once.
  /// - blocks: until they are there and everybody who came before has got theirs
  /// - cancel: throws canceled and takes none
  /// - threads: any
  RUNNEL_PARKS void wait(std::uint64_t n = 1) { static_cast<void>(wait_until(never, nullptr, n)); }
  /// The same, observing ctx and the ambient context. Throws deadline_exceeded at once when the tokens would come after the
  /// deadline of ctx.
  RUNNEL_PARKS void wait(const context& ctx, std::uint64_t n = 1) { static_cast<void>(wait_until(never, &ctx, n)); }
  /// False when the tokens would come after the limit, at once where that is known; then none was taken.
  /// - blocks: at most for the limit
  /// - cancel: throws canceled and takes none
  /// - threads: any
  RUNNEL_PARKS bool wait_for(duration limit, std::uint64_t n = 1) { return wait_until(limit.from_now(), nullptr, n); }
  RUNNEL_PARKS bool wait_until(time_point deadline, std::uint64_t n = 1) { return wait_until(deadline, nullptr, n); }

  /// From now on another rate, or burst. There are as many tokens as before, or as many are owed; reservations stay.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void set_rate(rate r);
  /// The same at an instant of the caller's, as allow_at().
  void set_rate_at(time_point now, rate r);
  void set_burst(std::uint64_t n);
  void set_burst_at(time_point now, std::uint64_t n);
  rate get_rate() const noexcept;
  std::uint64_t burst() const noexcept;
  /// How many tokens there are; below zero: how many are owed.
  double tokens() const { return tokens_at(steady_clock::now()); }
  double tokens_at(time_point now) const noexcept;

 private:
  using bucket = detail::token_bucket;
  class queued;
  class head;
  bool take(bucket::instant now, std::uint64_t n) noexcept;
  bool wait_until(time_point deadline, const context* ctx, std::uint64_t n);
  bool wait_in_turn(time_point deadline, const context* ctx, std::uint64_t n);
  reservation book(bucket::instant now, bucket::instant latest, std::uint64_t n) noexcept;
  bucket::instant given(time_point now) noexcept;
  template <class Change>
  void change(bucket::instant now, Change c);
  void change_rate(bucket::instant now, rate r);
  void change_burst(bucket::instant now, std::uint64_t n);

  bucket bucket_;
  shim::atomic<std::uint64_t> queued_{0};     ///< tokens that are waited for and not booked
  shim::atomic<bucket::instant> latest_{INT64_MIN};  ///< of the instants that were given
  bucket::booking* head_ = nullptr;           ///< of the first who waits; under the bucket's lock
  sched::wait_queue first_;                   ///< he, where he sleeps; under the bucket's lock
  semaphore turn_{1};                         ///< the right to be the first
};

}  // namespace runnel::inline RUNNEL_ABI
