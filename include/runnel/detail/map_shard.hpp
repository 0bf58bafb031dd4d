// One part of a concurrent_map: a chained hash table whose entries also stand in a list, for iteration. All members under
// `lock`, unless they say otherwise; entries are made and destroyed outside of it.
//
// Invariants
//  1. An entry stands in its chain and in the list, or in neither. New ones stand at the front of the list.
//  2. A cursor is a mark in the list: what is before it has been visited, or came later. So an iteration ends, sees what is
//     there from its begin to its end once, and needs no memory.
//  3. An entry is destroyed by who takes it out, unless a cursor stands at it (`pins`): then by the last cursor to leave.
//     Its key is never changed.
#pragma once

#include <runnel/sync/mutex.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <utility>
#include <vector>

namespace runnel::inline RUNNEL_ABI::detail {

/// Who stands in the list of a shard: an entry, or a cursor.
struct map_link {
  map_link* prev = this;
  map_link* next = this;
  std::uint32_t pins = 0;  ///< cursors that stand here
  bool is_entry = false;

  void insert_after(map_link& place) noexcept {
    prev = &place;
    next = place.next;
    place.next->prev = this;
    place.next = this;
  }
  void remove() noexcept {
    prev->next = next;
    next->prev = prev;
    prev = next = this;
  }
  bool linked() const noexcept { return next != this; }
};

template <class K, class V>
struct map_entry;

/// What a look-up reads: in front, on one cache line if it is small.
template <class K, class V>
struct map_content {
  map_entry<K, V>* chain = nullptr;
  const std::uint64_t hash;
  const K key;
  V value;
};

template <class K, class V>
struct map_entry : map_content<K, V>, map_link {
  template <class Q>
  map_entry(std::uint64_t h, Q&& k, V&& v) : map_content<K, V>{nullptr, h, K(std::forward<Q>(k)), std::move(v)} {
    is_entry = true;
  }
};

template <class K, class V>
class map_shard {
 public:
  using entry = map_entry<K, V>;

  map_shard() = default;
  map_shard(const map_shard&) = delete;
  map_shard& operator=(const map_shard&) = delete;
  ~map_shard() {
    while (list_.linked()) {
      auto* e = static_cast<entry*>(list_.next);
      e->remove();
      delete e;
    }
  }

  mutable mutex lock;

  /// Any thread, without the lock: how many entries there were a moment ago.
  std::size_t count() const noexcept {
    return count_.load(shim::order::relaxed);  // relaxed: a figure that may be old when it is returned
  }

  template <class Q, class Equal>
  entry* find(std::uint64_t hash, const Q& key, const Equal& equal) const {
    if (buckets_.empty()) return nullptr;
    for (entry* e = buckets_[place_of(hash)]; e; e = e->chain)
      if (e->hash == hash && equal(e->key, key)) return e;
    return nullptr;
  }
  /// Throws std::bad_alloc for the first entry only, and then nothing has changed.
  void link(entry* e) {
    make_room();
    entry*& bucket = buckets_[place_of(e->hash)];
    e->chain = std::exchange(bucket, e);
    e->insert_after(list_);
    change_count(+1);
  }
  /// Puts `fresh`, whose key is equal, in the place of e.
  void replace(entry* e, entry* fresh) noexcept {
    *pointer_to(e) = fresh;
    fresh->chain = e->chain;
    fresh->insert_after(*e);
    e->remove();
  }
  void unlink(entry* e) noexcept {
    *pointer_to(e) = e->chain;
    e->remove();
    change_count(-1);
  }

  /// Entries that stand nowhere, one behind the other; destroys them.
  struct end_of_chain {
    void operator()(entry* e) const noexcept {
      while (e) delete std::exchange(e, e->chain);
    }
  };
  using chain = std::unique_ptr<entry, end_of_chain>;
  /// Takes all out; what is returned are those at which no cursor stands.
  chain take_all() noexcept {
    entry* taken = nullptr;
    for (map_link *n = list_.next, *next; n != &list_; n = next) {
      next = n->next;
      if (!n->is_entry) continue;
      auto* e = static_cast<entry*>(n);
      e->remove();
      if (e->pins == 0) e->chain = std::exchange(taken, e);
    }
    std::ranges::fill(buckets_, nullptr);
    count_.store(0, shim::order::relaxed);  // relaxed: as in change_count()
    return chain(taken);
  }

  /// Walks the entries of one shard, each under the lock for a moment.
  class cursor {
   public:
    explicit cursor(const map_shard& s) : shard_(s) {
      const std::lock_guard hold(shard_.lock);
      mark_.insert_after(shard_.list_);
    }
    cursor(const cursor&) = delete;
    cursor& operator=(const cursor&) = delete;
    ~cursor() {
      std::unique_ptr<entry> gone;
      const std::lock_guard hold(shard_.lock);
      mark_.remove();
      gone = leave();
    }
    /// The next entry, which is there until the next call, with its value copied into `value`; null at the end.
    const entry* next(std::optional<V>& value) {
      value.reset();
      std::unique_ptr<entry> gone;  // ends behind the lock
      const std::lock_guard hold(shard_.lock);
      gone = leave();
      map_link* n = mark_.next;
      while (n != &shard_.list_ && !n->is_entry) n = n->next;
      if (n == &shard_.list_) return nullptr;
      mark_.remove();
      mark_.insert_after(*n);
      auto* e = static_cast<entry*>(n);
      value.emplace(std::as_const(e->value));
      ++e->pins;
      at_ = e;
      return e;
    }

   private:
    /// What nobody needs any more.
    std::unique_ptr<entry> leave() noexcept {
      entry* e = std::exchange(at_, nullptr);
      return std::unique_ptr<entry>(e && --e->pins == 0 && !e->linked() ? e : nullptr);
    }
    const map_shard& shard_;
    map_link mark_;
    entry* at_ = nullptr;
  };

 private:
  /// The bits behind those that chose the shard: the high ones, which depend on all bits of a product.
  std::size_t place_of(std::uint64_t hash) const noexcept { return static_cast<std::size_t>((hash << 8) >> shift_); }
  entry** pointer_to(entry* e) noexcept {
    entry** p = &buckets_[place_of(e->hash)];
    while (*p != e) p = &(*p)->chain;
    return p;
  }
  void make_room() {
    if (count() < buckets_.size()) return;
    std::vector<entry*> wider;
    try {
      wider.resize(buckets_.empty() ? 8 : 2 * buckets_.size());
    } catch (const std::bad_alloc&) {
      if (buckets_.empty()) throw;
      return;  // longer chains will do
    }
    buckets_.swap(wider);
    shift_ = 64 - std::countr_zero(buckets_.size());
    for (entry* e : wider)
      while (entry* moved = e) {
        e = e->chain;
        moved->chain = std::exchange(buckets_[place_of(moved->hash)], moved);
      }
  }
  void change_count(int by) noexcept {
    // relaxed: written under the lock, elsewhere a figure
    count_.store(count_.load(shim::order::relaxed) + static_cast<std::size_t>(by), shim::order::relaxed);
  }

  std::vector<entry*> buckets_;  ///< none, or a power of two
  int shift_ = 0;                ///< 64 less the bits of a bucket's number
  mutable map_link list_;
  shim::atomic<std::size_t> count_{0};
};

}  // namespace runnel::inline RUNNEL_ABI::detail
