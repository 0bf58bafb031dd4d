// Many mutexes, of which each key has one: operations on different keys seldom meet.
//
//   const std::scoped_lock lock(locks[account_number]);
//   const auto everything = runnel::lock_all(locks);
//
// Use when: independent entries of one structure are changed under a lock each, and there are too many for a mutex each. When
// not: one mutex is enough until it is measured that it is not; for a map by key there is concurrent_map.
// Guarantees: the same key, the same mutex; different keys may share one. So never hold two of them, but by lock_all.
// Each stands on a cache line of its own.
// Cost: 64 bytes for each shard, allocated by the constructor; a hash for each lock.
#pragma once

#include <runnel/sync/mutex.hpp>

#include <bit>
#include <cstddef>
#include <functional>
#include <memory>

namespace runnel::inline RUNNEL_ABI {

class sharded_mutex {
 public:
  /// One of its mutexes.
  class alignas(64) shard : public mutex {};

  /// Rounded up to a power of two.
  explicit sharded_mutex(std::size_t shards = 64)
      : size_(std::bit_ceil(shards)), shards_(new shard[size_]) {}

  std::size_t size() const noexcept { return size_; }
  shard* begin() noexcept { return shards_.get(); }
  shard* end() noexcept { return begin() + size_; }

  /// The mutex of the key.
  template <class Key>
  shard& operator[](const Key& key) noexcept(noexcept(std::hash<Key>()(key))) {
    return shards_[place(std::hash<Key>()(key))];
  }
  /// The same for a hash that the caller has computed.
  shard& of_hash(std::size_t hash) noexcept { return shards_[place(hash)]; }

 private:
  /// By the high bits of a multiplication: std::hash of a number is often the number (Knuth, TAOCP 3, 6.4).
  std::size_t place(std::size_t hash) const noexcept {
    return (hash * 0x9E3779B97F4A7C15ull) >> 32 & (size_ - 1);
  }

  std::size_t size_;
  std::unique_ptr<shard[]> shards_;
};

}  // namespace runnel::inline RUNNEL_ABI
