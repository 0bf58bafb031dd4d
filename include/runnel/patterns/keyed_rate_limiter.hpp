// A rate limit for each key: each client, each host, each account has a bucket of its own.
//
// Use when: one must not use up what is for all. When not: the keys are few and known: a rate_limiter for each.
// Guarantees: those of rate_limiter, for each key. Idle keys are forgotten: a bucket that is full again is as good as a new
// one, so nobody notices. With more than max_keys that are not idle the one that was not used for the longest time is forgotten
// and starts with a full bucket when it comes back; one that somebody waits for stays.
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
  /// Throws misuse for limits that make no sense, and for no keys.
  keyed_rate_limiter(rate r, std::uint64_t burst, std::size_t max_keys = 65'536)
      : rate_(r), burst_(burst), mask_(detail::lru_parts(max_keys) - 1), keys_each_(max_keys / (mask_ + 1)) {
    if (max_keys == 0) detail::throw_misuse("runnel::keyed_rate_limiter: max_keys is 0: no key would have a limit");
    const rate_limiter checked(r, burst);
    parts_ = std::make_unique<cache_padded<part>[]>(mask_ + 1);
  }
  keyed_rate_limiter(const keyed_rate_limiter&) = delete;
  keyed_rate_limiter& operator=(const keyed_rate_limiter&) = delete;

  /// As rate_limiter's, for the key.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool allow(const K& key, std::uint64_t n = 1) { return of(key)->allow(n); }
  /// - blocks: until n tokens of the key are there and everybody who came before has got his
  /// - cancel: throws canceled and takes none
  /// - threads: any
  RUNNEL_PARKS void wait(const K& key, std::uint64_t n = 1) { of(key)->wait(n); }
  /// The same, observing ctx and the ambient context.
  RUNNEL_PARKS void wait(const context& ctx, const K& key, std::uint64_t n = 1) { of(key)->wait(ctx, n); }
  /// False when the tokens would come after the limit.
  RUNNEL_PARKS bool wait_for(duration limit, const K& key, std::uint64_t n = 1) { return of(key)->wait_for(limit, n); }

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
  struct part {
    mutable mutex lock;
    map limiters;  ///< under the lock; whoever uses one has taken a share of it there
  };

  part& part_of(const K& key) const {
    // Fibonacci hashing: std::hash of an integer is the integer.
    const auto h = static_cast<std::uint64_t>(Hash()(key)) * 0x9E3779B97F4A7C15ull;
    return *parts_[(h >> 56) & mask_];
  }
  limiter of(const K& key) {
    part& p = part_of(key);
    {
      const std::lock_guard hold(p.lock);
      if (limiter* known = p.limiters.find(key)) return *known;
    }
    auto fresh = std::make_shared<rate_limiter>(rate_, burst_);
    auto made = map::make(key, fresh);
    std::array<typename map::node, 3> gone;  // end behind the lock
    const std::lock_guard hold(p.lock);
    if (limiter* known = p.limiters.find(key)) return *known;
    make_room(p.limiters, gone);
    p.limiters.insert(std::move(made));
    return fresh;
  }
  /// For one more. Two idle ones go for each that comes, so that idle ones do not collect.
  void make_room(map& limiters, std::array<typename map::node, 3>& gone) {
    const auto unused = [](const limiter& l) { return l.use_count() == 1; };
    const auto idle = [&](const limiter& l) { return unused(l) && l->tokens() >= static_cast<double>(burst_); };
    gone[0] = limiters.take_oldest(2, idle);
    gone[1] = limiters.take_oldest(2, idle);
    if (limiters.size() >= keys_each_) gone[2] = limiters.take_oldest(8, unused);
  }

  const rate rate_;
  const std::uint64_t burst_;
  const std::size_t mask_, keys_each_;
  std::unique_ptr<cache_padded<part>[]> parts_;
};

}  // namespace runnel::inline RUNNEL_ABI
