// A hash map for many at a time: divided into parts, each with a lock of its own, so that few meet at one.
//
// Use when: a cache, a registry, sessions: looked up and changed from everywhere. When not: built once and only read (share
// it as const, or an atomic_snapshot); two keys must change together (guarded, lock_all).
// Guarantees: operations on one key are linearizable; what happened before an operation that stores a value happens before
// one that finds it. for_each() sees what is there throughout exactly once, what comes or goes meanwhile or not, holds no
// lock while it calls, and ends however much others insert. Values and keys are destroyed outside of all locks.
// Thread-safety: all operations from anywhere. Hash, Equal and copying a V run under a part's lock: they must not use the map.
// Blocking and cancellation: the locks are held for moments and ignore cancellation; get_or_create() waits for another's
// creation, cancellably. What visit() calls may not wait: the process ends with a message if it does.
// Errors: whatever K, V, Hash, Equal or a function throws leaves the map as it was. Creating a key from within its own
// creation throws misuse.
// Cost: a lock of the part, a hash, a comparison; inserting is one allocation, looking up none, for_each() none.
// Source: Java's ConcurrentHashMap before 8 (lock striping); the cursor of for_each is our own.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/detail/joined_scope.hpp>
#include <runnel/detail/map_shard.hpp>
#include <runnel/lockfree/cache_padded.hpp>
#include <runnel/sched/stripe.hpp>
#include <runnel/sync/event.hpp>

#include <algorithm>
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace runnel::inline RUNNEL_ABI {

namespace detail {
template <class Hash, class Equal>
concept transparent = requires {
  typename Hash::is_transparent;
  typename Equal::is_transparent;
};
}  // namespace detail

template <class K, class V, class Hash = std::hash<K>, class Equal = std::equal_to<>>
class concurrent_map {
  using entry = detail::map_entry<K, V>;
  template <class Q>
  static constexpr bool as_it_is = std::same_as<Q, K> || detail::transparent<Hash, Equal>;

 public:
  using key_type = K;
  using mapped_type = V;

  explicit concurrent_map(Hash hash = Hash(), Equal equal = Equal())
      : hash_(std::move(hash)), equal_(std::move(equal)), shards_(std::make_unique<padded_shard[]>(mask_ + 1)) {}
  concurrent_map(const concurrent_map&) = delete;
  concurrent_map& operator=(const concurrent_map&) = delete;

  /// A copy of the value.
  /// - blocks: while another has the part's lock
  /// - cancel: ignores
  /// - threads: any
  template <class Q = K>
  RUNNEL_PARKS std::optional<V> find(const Q& key) const
    requires std::copy_constructible<V>
  {
    return in_shard(key, [&](const shard& s, std::uint64_t hash, const auto& k) -> std::optional<V> {
      const std::lock_guard hold(s.lock);
      const entry* e = s.find(hash, k, equal_);
      return e ? std::optional<V>(e->value) : std::nullopt;
    });
  }
  /// - blocks: as find()
  /// - cancel: ignores
  /// - threads: any
  template <class Q = K>
  RUNNEL_PARKS bool contains(const Q& key) const {
    return in_shard(key, [&](const shard& s, std::uint64_t hash, const auto& k) {
      const std::lock_guard hold(s.lock);
      return s.find(hash, k, equal_) != nullptr;
    });
  }
  /// How many there were, of which others may have changed some meanwhile.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::size_t size() const noexcept {
    sched::choice_point(sched::operation::look, this);
    std::size_t total = 0;
    for (std::size_t i = 0; i <= mask_; ++i) total += shards_[i]->count();
    return total;
  }
  bool empty() const noexcept { return size() == 0; }

  /// False, and nothing changed, when the key is there.
  /// - blocks: as find()
  /// - cancel: ignores
  /// - threads: any
  template <class Q = K>
  RUNNEL_PARKS bool insert(Q&& key, V value) {
    return put(std::forward<Q>(key), value, [](shard&, entry*, V&, std::unique_ptr<entry>&) { return false; });
  }
  /// True when the key was not there.
  /// - blocks: as find()
  /// - cancel: ignores
  /// - threads: any
  template <class Q = K>
  RUNNEL_PARKS bool insert_or_assign(Q&& key, V value) {
    return put(std::forward<Q>(key), value, [](shard& s, entry* e, V& v, std::unique_ptr<entry>& fresh) {
      if constexpr (std::is_nothrow_swappable_v<V>) {
        std::ranges::swap(e->value, fresh ? fresh->value : v);  // the old one ends with its new owner, behind the lock
      } else {
        if (!fresh) return true;
        s.replace(e, fresh.release());
        fresh.reset(e->pins == 0 ? e : nullptr);
      }
      return false;
    });
  }
  /// Whether it was there.
  /// - blocks: as find()
  /// - cancel: ignores
  /// - threads: any
  template <class Q = K>
  RUNNEL_PARKS bool erase(const Q& key) {
    std::unique_ptr<entry> owned;
    return unlink(key, owned, [](V&) { return true; });
  }
  /// Erases it if f(value), called under the part's lock, says so; whether it did. f may not wait, nor use the map.
  /// - blocks: as find()
  /// - cancel: ignores
  /// - threads: any
  template <class Q = K, std::predicate<const V&> F>
  RUNNEL_PARKS bool erase_if(const Q& key, F&& f) {
    std::unique_ptr<entry> owned;
    return unlink(key, owned, [&](const V& v) {
      const sched::no_parking section;
      return static_cast<bool>(std::invoke(std::forward<F>(f), v));
    });
  }
  /// Erases it and returns its value.
  /// - blocks: as find()
  /// - cancel: ignores
  /// - threads: any
  template <class Q = K>
  RUNNEL_PARKS std::optional<V> take(const Q& key)
    requires std::is_nothrow_move_constructible_v<V>
  {
    std::unique_ptr<entry> owned;
    std::optional<V> taken;
    unlink(key, owned, [&](V& v) {
      taken.emplace(std::move(v));
      return true;
    });
    return taken;
  }
  /// Erases all that was there when it began; of what comes meanwhile perhaps some.
  /// - blocks: as find(), for each part
  /// - cancel: ignores
  /// - threads: any
  RUNNEL_PARKS void clear() {
    sched::choice_point(sched::operation::store, this);
    for (std::size_t i = 0; i <= mask_; ++i) {
      typename shard::chain taken;  // ends behind the lock
      const std::lock_guard hold(shards_[i]->lock);
      taken = shards_[i]->take_all();
    }
  }

  /// Calls f(value) under the part's lock, with the value itself; false when the key is not there. f may change the value; it
  /// may not wait, nor use the map.
  /// - blocks: as find()
  /// - cancel: ignores
  /// - threads: any
  template <class Q = K, class F>
  RUNNEL_PARKS bool visit(const Q& key, F&& f) {
    return in_shard(key, [&](shard& s, std::uint64_t hash, const auto& k) {
      const std::lock_guard hold(s.lock);
      entry* e = s.find(hash, k, equal_);
      if (!e) return false;
      const sched::no_parking section;
      std::invoke(std::forward<F>(f), e->value);
      return true;
    });
  }
  /// Calls f(key, copy of the value) for each, without a lock: f may wait and use the map. f may return false to end it.
  /// - blocks: as find(), for each
  /// - cancel: ignores
  /// - threads: any
  template <class F>
    requires std::copy_constructible<V>
  RUNNEL_PARKS void for_each(F&& f) const {
    std::optional<V> value;
    for (std::size_t i = 0; i <= mask_; ++i) {
      if (shards_[i]->count() == 0) continue;
      typename shard::cursor at(*shards_[i]);
      while (const entry* e = at.next(value)) {
        if constexpr (std::same_as<std::invoke_result_t<F&, const K&, const V&>, bool>) {
          if (!std::invoke(f, e->key, std::as_const(*value))) return;
        } else {
          std::invoke(f, e->key, std::as_const(*value));
        }
      }
    }
  }
  /// The value of the key, made by f() if there is none: by one caller, while those who want the same key wait. If f throws,
  /// that goes to its caller, and another one who waits calls its own.
  /// - blocks: while another makes the value
  /// - cancel: throws canceled where it has to wait; then nothing has changed
  /// - threads: any
  template <class Q = K, std::invocable F>
  RUNNEL_PARKS V get_or_create(const Q& key, F&& f)
    requires std::copy_constructible<V>
  {
    return get_or_create_by(key, std::forward<F>(f), [](const event& over) { over.wait(); });
  }
  /// The same, observing ctx and the ambient context where it has to wait: f too, if the caller calls it.
  /// - blocks: while another makes the value
  /// - cancel: throws canceled where it has to wait; then nothing has changed
  /// - threads: any
  template <class Q = K, std::invocable F>
  RUNNEL_PARKS V get_or_create(const context& ctx, const Q& key, F&& f)
    requires std::copy_constructible<V>
  {
    const auto observing = [&]() -> V {
      const detail::joined_scope both(ctx);
      return std::invoke(std::forward<F>(f));
    };
    return get_or_create_by(key, observing, [&](const event& over) { over.wait(ctx); });
  }

 private:
  /// `await` waits for the end of another's creation.
  template <class Q, class F, class Wait>
  V get_or_create_by(const Q& key, F&& f, Wait await) {
    return in_shard(key, [&](shard& s, std::uint64_t hash, const auto& k) -> V {
      for (;;) {
        std::shared_ptr<creation> other, mine;
        {
          const std::lock_guard hold(s.lock);
          if (const entry* e = s.find(hash, k, equal_)) return e->value;
          other = s.creation_of(hash, k, equal_);
          if (!other) mine = s.creations.emplace_back(std::make_shared<creation>(hash, k));
        }
        if (mine) return create(s, *mine, std::forward<F>(f));
        if (other->by == &sched::this_agent())
          detail::throw_misuse("runnel::concurrent_map: a creation asks for the key that it creates: it waits for itself");
        await(other->over);
      }
    });
  }

  /// A key that somebody makes a value for.
  struct creation {
    template <class Q>
    creation(std::uint64_t h, const Q& k) : hash(h), key(k) {}
    const std::uint64_t hash;
    const K key;
    const sched::agent* const by = &sched::this_agent();
    event over;
  };
  struct shard : detail::map_shard<K, V> {
    std::vector<std::shared_ptr<creation>> creations;  ///< under the lock

    template <class Q>
    std::shared_ptr<creation> creation_of(std::uint64_t hash, const Q& key, const Equal& equal) const {
      for (const auto& c : creations)
        if (c->hash == hash && equal(c->key, key)) return c;
      return nullptr;
    }
  };
  using padded_shard = cache_padded<shard>;

  /// Calls f(shard, hash, key), with the key as it is where Hash and Equal can take it, else made a K.
  template <class Q, class F>
  decltype(auto) in_shard(const Q& key, F&& f) const {
    if constexpr (as_it_is<Q>) {
      sched::choice_point(sched::operation::look, this);
      // Fibonacci hashing: std::hash of an integer is the integer.
      const auto h = static_cast<std::uint64_t>(hash_(key)) * 0x9E3779B97F4A7C15ull;
      return f(*shards_[(h >> 56) & mask_], h, key);
    } else {
      return in_shard(static_cast<K>(key), std::forward<F>(f));
    }
  }

  /// Links the key with the value, or leaves it to there(shard, entry, value, entry made) under the lock, which says whether
  /// it needs an entry. The first look is made without one.
  template <class Q, class There>
  bool put(Q&& key, V& value, There there) {
    if constexpr (!as_it_is<std::remove_cvref_t<Q>>) {
      return put(K(std::forward<Q>(key)), value, there);
    } else {
      return in_shard(key, [&](shard& s, std::uint64_t hash, const auto& k) {
        std::unique_ptr<entry> fresh;
        {
          const std::lock_guard hold(s.lock);
          entry* e = s.find(hash, k, equal_);
          if (e && !there(s, e, value, fresh)) return false;
        }
        fresh = std::make_unique<entry>(hash, std::forward<Q>(key), std::move(value));
        const std::lock_guard hold(s.lock);
        if (entry* e = s.find(hash, fresh->key, equal_)) {
          there(s, e, value, fresh);
          return false;
        }
        s.link(fresh.get());
        fresh.release();
        return true;
      });
    }
  }

  /// Takes it out if goes(value), called under the lock, says so; `owned` destroys it, unless an iteration stands there.
  template <class Q, class Goes>
  bool unlink(const Q& key, std::unique_ptr<entry>& owned, Goes goes) {
    return in_shard(key, [&](shard& s, std::uint64_t hash, const auto& k) {
      const std::lock_guard hold(s.lock);
      entry* e = s.find(hash, k, equal_);
      if (!e || !goes(e->value)) return false;
      s.unlink(e);
      if (e->pins == 0) owned.reset(e);
      return true;
    });
  }

  /// Makes the value for `mine`, which stands in the shard until then.
  template <class F>
  V create(shard& s, creation& mine, F&& f) {
    struct end_of_creation {
      shard& part;
      creation& which;
      ~end_of_creation() {
        std::shared_ptr<creation> ended;
        {
          const std::lock_guard hold(part.lock);
          const auto place = std::find_if(part.creations.begin(), part.creations.end(),
                                          [&](const auto& c) { return c.get() == &which; });
          ended = std::move(*place);
          part.creations.erase(place);
        }
        ended->over.set();
      }
    } at_end{s, mine};
    V made = std::invoke(std::forward<F>(f));
    V stored = std::as_const(made);  // what can throw comes before the map is changed
    std::optional<V> present;  // where somebody has inserted it meanwhile
    put(mine.key, stored, [&](shard&, entry* e, V&, std::unique_ptr<entry>&) {
      present.emplace(e->value);
      return false;
    });
    if (present) return *std::move(present);
    return made;
  }

  Hash hash_;
  Equal equal_;
  const std::size_t mask_ = std::size_t{4} * sched::stripe_count() - 1;
  std::unique_ptr<padded_shard[]> shards_;
};

}  // namespace runnel::inline RUNNEL_ABI
