// A rate limit for each key: each client, each host, each account has a bucket of its own.
//
// Use when: one must not use up what is for all. When not: the keys are few and known: a rate_limiter for each.
// Guarantees: those of rate_limiter, for each key. Idle keys are forgotten: a bucket that is full is as good as a new
// one, so nobody notices. With more than max_keys that are not idle the one that was not used for the longest time is
// forgotten, with what it owes, and starts with a full bucket when it comes back. One that somebody waits for, or has a
// reservation of, stays until he has gone, beyond max_keys if need be: reservations are not to be kept when their time
// has come. A change of the limits holds for the keys that are remembered, which keep the tokens that they have, and
// for those that come, which begin with a full bucket.
// Thread-safety: all operations from anywhere. Hash and Equal run under a lock: they must not use the limiter.
// Cost: a lock, a hash and a comparison besides the rate_limiter's; two allocations for a new key.
// Source: as rate_limiter.
#pragma once

#include <runnel/detail/lru_map.hpp>
#include <runnel/lockfree/cache_padded.hpp>
#include <runnel/patterns/rate_limiter.hpp>
#include <runnel/sync/mutex.hpp>

#include <array>
#include <functional>
#include <memory>
#include <mutex>

namespace runnel::inline RUNNEL_ABI {

template <class K, class Hash = std::hash<K>, class Equal = std::equal_to<K>>
class keyed_rate_limiter {
 public:
  /// Tokens of a key that were booked ahead: as rate_limiter's. While it is ok() it keeps the key's bucket, and not the
  /// keyed_rate_limiter.
  class [[nodiscard("the tokens are taken")]] reservation {
   public:
    bool ok() const noexcept { return booked_.ok(); }
    explicit operator bool() const noexcept { return ok(); }
    time_point time_to_act() const noexcept { return booked_.time_to_act(); }
    std::chrono::nanoseconds delay() const { return booked_.delay(); }
    /// Gives the tokens back, as rate_limiter's.
    /// - blocks: never
    /// - cancel: ignores
    /// - threads: owner
    void cancel() {
      booked_.cancel();
      of_.reset();
    }

   private:
    friend class keyed_rate_limiter;
    reservation(std::shared_ptr<rate_limiter> of, rate_limiter::reservation b) noexcept
        : of_(b.ok() ? std::move(of) : nullptr), booked_(std::move(b)) {}
    std::shared_ptr<rate_limiter> of_;  ///< a share, while there is something to give back
    rate_limiter::reservation booked_;
  };

  /// Throws misuse for limits that make no sense, and for no keys.
  keyed_rate_limiter(rate r, std::uint64_t burst, std::size_t max_keys = 65'536)
      : mask_(detail::lru_parts(max_keys) - 1), keys_each_(max_keys / (mask_ + 1)), limits_(checked({r, burst})) {
    if (max_keys == 0) detail::throw_misuse("runnel::keyed_rate_limiter: max_keys is 0: no key would have a limit");
    parts_ = std::make_unique<cache_padded<part>[]>(mask_ + 1);
    for (std::size_t i = 0; i <= mask_; ++i) parts_[i]->now = limits_;
  }
  keyed_rate_limiter(const keyed_rate_limiter&) = delete;
  keyed_rate_limiter& operator=(const keyed_rate_limiter&) = delete;

  /// As rate_limiter's, for the key.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool allow(const K& key, std::uint64_t n = 1) { return of(key)->allow(n); }
  /// Books n tokens of the key. Refused when n is more than the burst.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  reservation reserve(const K& key, std::uint64_t n = 1) {
    limiter l = of(key);
    rate_limiter::reservation booked = l->reserve(n);
    return {std::move(l), std::move(booked)};
  }
  /// The same; refused also when the caller would have to wait for longer.
  reservation reserve_within(duration longest_wait, const K& key, std::uint64_t n = 1) {
    limiter l = of(key);
    rate_limiter::reservation booked = l->reserve_within(longest_wait, n);
    return {std::move(l), std::move(booked)};
  }
  /// - blocks: until n tokens of the key are there and everybody who came before has got his
  /// - cancel: throws canceled and takes none
  /// - threads: any
  RUNNEL_PARKS void wait(const K& key, std::uint64_t n = 1) { of(key)->wait(n); }
  /// The same, observing ctx and the ambient context.
  RUNNEL_PARKS void wait(const context& ctx, const K& key, std::uint64_t n = 1) { of(key)->wait(ctx, n); }
  /// False when the tokens would come after the limit.
  RUNNEL_PARKS bool wait_for(duration limit, const K& key, std::uint64_t n = 1) { return of(key)->wait_for(limit, n); }

  /// From now on another rate, or burst, for every key. Those who wait notice at once; each key has as many tokens as
  /// before, or owes as many; reservations stay. Throws misuse for limits that make no sense, and then nothing has
  /// changed.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void set_rate(rate r) {
    change([r](limits& l) { l.r = r; }, [r](rate_limiter& l) { l.set_rate(r); });
  }
  void set_burst(std::uint64_t n) {
    change([n](limits& l) { l.burst = n; }, [n](rate_limiter& l) { l.set_burst(n); });
  }
  rate get_rate() const {
    const std::lock_guard hold(changing_);
    return limits_.r;
  }
  std::uint64_t burst() const {
    const std::lock_guard hold(changing_);
    return limits_.burst;
  }

  /// Keys that are remembered.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::size_t size() const {
    std::size_t sum = 0;
    for (std::size_t i = 0; i <= mask_; ++i) {
      const std::lock_guard hold(parts_[i]->lock);
      sum += parts_[i]->limiters.size();
    }
    return sum;
  }

 private:
  using limiter = std::shared_ptr<rate_limiter>;
  using map = detail::lru_map<K, limiter, Hash, Equal>;
  struct limits {
    rate r = rate::none();
    std::uint64_t burst = 0;
    friend bool operator==(const limits&, const limits&) noexcept = default;
  };
  struct part {
    mutable mutex lock;
    map limiters;  ///< under the lock; whoever uses one has taken a share of it there
    limits now;    ///< of all that stand there, and of the next; under the lock
  };
  static limits checked(limits l) {
    const rate_limiter one(l.r, l.burst);
    return l;
  }

  part& part_of(const K& key) const {
    // Fibonacci hashing: std::hash of an integer is the integer.
    const auto h = static_cast<std::uint64_t>(Hash()(key)) * 0x9E3779B97F4A7C15ull;
    return *parts_[(h >> 56) & mask_];
  }
  limiter of(const K& key) {
    part& p = part_of(key);
    for (;;) {
      limits l;
      {
        const std::lock_guard hold(p.lock);
        if (limiter* known = p.limiters.find(key)) return *known;
        l = p.now;
      }
      if (limiter made = insert(p, key, l)) return made;
    }
  }
  /// A new one, or one that was inserted meanwhile; null where the limits have changed.
  limiter insert(part& p, const K& key, const limits& l) {
    auto fresh = std::make_shared<rate_limiter>(l.r, l.burst);
    auto made = map::make(key, fresh);
    std::array<typename map::node, 4> gone;  // end behind the lock
    const std::lock_guard hold(p.lock);
    if (limiter* known = p.limiters.find(key)) return *known;
    if (p.now != l) return nullptr;
    make_room(p, gone);
    p.limiters.insert(std::move(made));
    return fresh;
  }
  /// For one more. Two idle ones go for each that comes, so that idle ones do not collect.
  void make_room(part& p, std::array<typename map::node, 4>& gone) {
    const auto unused = [](const limiter& l) { return l.use_count() == 1; };
    const auto idle = [&](const limiter& l) { return unused(l) && l->tokens() >= static_cast<double>(p.now.burst); };
    gone[0] = p.limiters.take_oldest(2, idle);
    gone[1] = p.limiters.take_oldest(2, idle);
    // Two, because it may have found only such that are in use before.
    for (std::size_t i = 2; i < 4 && p.limiters.size() >= keys_each_; ++i)
      gone[i] = p.limiters.take_oldest_or_renew(8, unused);
  }
  /// Part by part, one change at a time: a key that comes meanwhile finds the limits of its part, old or new, and is
  /// among those that are changed if they were old.
  template <class Set, class Apply>
  void change(Set set, Apply apply) {
    const std::lock_guard one(changing_);
    limits l = limits_;
    set(l);
    limits_ = checked(l);
    for (std::size_t i = 0; i <= mask_; ++i) {
      part& p = *parts_[i];
      const std::lock_guard hold(p.lock);
      p.now = l;
      p.limiters.for_each_value([&](const limiter& each) { apply(*each); });
    }
  }

  const std::size_t mask_, keys_each_;
  std::unique_ptr<cache_padded<part>[]> parts_;
  mutable mutex changing_;
  limits limits_;  ///< under changing_
};

}  // namespace runnel::inline RUNNEL_ABI
