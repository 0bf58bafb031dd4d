// A cache that loads: what is not there is loaded, once, by the first who asks; the others wait for it.
//
//   runnel::cache<std::string, profile> profiles({.capacity = 10'000, .ttl = 5min});
//   profile p = profiles.get_or_load(user, [&] { return load(user); });
//
// Use when: something costly is asked for again and again, and may be a little old. When not: it must be the newest; it
// is never to be forgotten (concurrent_map).
// Guarantees: for one key at most one load runs at a time, and all who ask meanwhile get what it brings. Nothing older
// than ttl is returned, but for stale_for, see below. What is invalidated while it is loaded is not kept. What happened
// before a load ended happens before what it brought is returned. Values and keys are destroyed outside of all locks.
// A value that is stale (older than ttl, by less than stale_for) is returned at once by get(), while one fiber of the
// cache's own loads a new one; if that fails the stale one stays. The cache ends those fibers at its own end, and waits
// for them.
// Thread-safety: all operations from anywhere. Hash, Equal and copying a V or K run under a lock: they must not use the
// cache.
// Blocking and cancellation: a value that is there is returned without a look at the caller's context. Else as
// single_flight: the load runs in the first caller's context, and when he is canceled the next one who waits loads.
// Errors: what a load throws goes to all who wait for it, and is forgotten, unless errors are to be kept (error_ttl). A
// load that asks for its own key throws misuse. What cannot be kept, without memory, is returned all the same.
// Cost: a value that is there: a lock of a part, a hash, a comparison, the clock, a copy. To load: three allocations.
// Source: B. Fitzpatrick's groupcache; stale-while-revalidate: RFC 5861.
#pragma once

#include <runnel/detail/lru_map.hpp>
#include <runnel/lockfree/cache_padded.hpp>
#include <runnel/patterns/single_flight.hpp>
#include <runnel/sync/striped_counter.hpp>
#include <runnel/task_group.hpp>

#include <array>
#include <cstdint>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

struct cache_options {
  static constexpr std::chrono::nanoseconds forever = std::chrono::nanoseconds::max();

  /// Entries; then the one goes that was not used for the longest time (of its part, if large).
  std::size_t capacity = 1024;
  duration ttl = forever;       ///< how long a value is good
  /// How long get() returns it after that; needs a loader of the cache's.
  duration stale_for = std::chrono::nanoseconds(0);
  duration error_ttl = std::chrono::nanoseconds(0);  ///< how long what a load threw is thrown again
};

struct cache_stats {
  std::int64_t hits = 0;       ///< were there
  std::int64_t stale_hits = 0; ///< were there, but old
  std::int64_t misses = 0;     ///< were not there: loaded, or waited for another's load
  std::int64_t loads = 0;      ///< that have ended
  std::int64_t failures = 0;   ///< of them, by an exception
  std::int64_t evictions = 0;  ///< for want of room
};

template <class K, class V, class Hash = std::hash<K>, class Equal = std::equal_to<K>>
class cache {
  static_assert(std::is_object_v<V> && std::copy_constructible<V>,
                "cache: each caller gets a copy, so V must be copyable: std::shared_ptr<const T> is");

 public:
  /// Each get_or_load() brings its own function. Throws misuse for options that make no sense.
  explicit cache(cache_options options = {}) : cache(options, nullptr) {}
  /// load(key) makes values for get(). The cache may call it as long as it lives.
  cache(cache_options options, std::function<V(const K&)> load)
      : options_(checked(options, static_cast<bool>(load))), loader_(std::move(load)),
        mask_(detail::lru_parts(options.capacity) - 1), room_each_(options.capacity / (mask_ + 1)),
        parts_(std::make_unique<cache_padded<part>[]>(mask_ + 1)) {}
  cache(const cache&) = delete;
  cache& operator=(const cache&) = delete;
  /// Cancels the loads of its own fibers and waits for them. Nobody else may use it any more.
  RUNNEL_JOINS ~cache() = default;

  /// The value of the key, else what f() returns, which is then kept.
  /// - blocks: as f, or while another caller loads it
  /// - cancel: throws canceled, unless the value is there
  /// - threads: any
  template <std::invocable F>
    requires std::convertible_to<std::invoke_result_t<F>, V>
  RUNNEL_PARKS V get_or_load(const K& key, F&& f) {
    return kept_or_loaded(nullptr, key, std::forward<F>(f));
  }
  /// The same, observing ctx and the ambient context: f too, whose ambient context ends with either. Who waits for the
  /// value too goes on when ctx is canceled.
  /// - blocks: as f, or while another caller loads it
  /// - cancel: throws canceled, unless the value is there
  /// - threads: any
  template <std::invocable F>
    requires std::convertible_to<std::invoke_result_t<F>, V>
  RUNNEL_PARKS V get_or_load(const context& ctx, const K& key, F&& f) {
    return kept_or_loaded(&ctx, key, std::forward<F>(f));
  }
  /// The value of the key, else what the cache's own function returns; a stale one while that runs. Throws misuse where
  /// the cache has no function.
  /// - blocks: as the function, or while another caller loads it
  /// - cancel: throws canceled, unless the value is there
  /// - threads: any
  RUNNEL_PARKS V get(const K& key) { return kept_or_made(nullptr, key); }
  /// The same, observing ctx as get_or_load() does.
  /// - blocks: as the function, or while another caller loads it
  /// - cancel: throws canceled, unless the value is there
  /// - threads: any
  RUNNEL_PARKS V get(const context& ctx, const K& key) { return kept_or_made(&ctx, key); }
  /// The value if it is there and good; loads nothing, counts nothing, and is no use that would keep it longer.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::optional<V> peek(const K& key) {
    part& p = part_of(key);
    const time_point now = steady_clock::now();
    const std::lock_guard hold(p.lock);
    const content* c = p.entries.peek(key);
    return c && now < c->good_until ? c->value : std::nullopt;
  }
  /// Keeps a value that was made elsewhere, from now on; a load under way does not replace it.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void put(const K& key, V value) {
    part& p = part_of(key);
    spoil(p, &key);
    keep(p, key, {std::move(value), nullptr, options_.ttl.from_now()}, nullptr);
  }
  /// Forgets the key, and what is being loaded for it: who comes from now on loads anew. Whether there was anything
  /// kept.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool invalidate(const K& key) {
    part& p = part_of(key);
    spoil(p, &key);
    flights_.forget(key);
    node gone;
    const std::lock_guard hold(p.lock);
    gone = p.entries.take(key);
    return !gone.empty();
  }
  /// Forgets all, and what is being loaded.
  void clear() {
    for (std::size_t i = 0; i <= mask_; ++i) spoil(*parts_[i], nullptr);
    flights_.forget_all();
    for (std::size_t i = 0; i <= mask_; ++i) clear(*parts_[i]);
  }
  std::size_t size() const {
    std::size_t sum = 0;
    for (std::size_t i = 0; i <= mask_; ++i) {
      const std::lock_guard hold(parts_[i]->lock);
      sum += parts_[i]->entries.size();
    }
    return sum;
  }
  /// What was counted so far; of what happens at the same time, some.
  cache_stats stats() const noexcept {
    return {counts_[0].sum(), counts_[1].sum(), counts_[2].sum(), counts_[3].sum(), counts_[4].sum(), counts_[5].sum()};
  }

 private:
  enum count : std::size_t { hits, stale_hits, misses, loads, failures, evictions, number_of_counts };
  enum class stale : std::uint8_t { counts, counts_not };
  enum class found : std::uint8_t { nothing, value, to_refresh };

  /// A value, or what a load threw.
  struct content {
    std::optional<V> value;
    std::exception_ptr error;
    time_point good_until;
    bool refreshing = false;
  };
  using map = detail::lru_map<K, content, Hash, Equal>;
  using node = typename map::node;
  struct load_tag;
  /// A load under way.
  struct load_record : detail::list_hook<load_tag> {
    explicit load_record(const K& k) : key(k) {}
    const K& key;
    bool spoiled = false;  ///< the key was invalidated since it began
  };
  struct part {
    mutable mutex lock;
    map entries;                                           ///< under the lock
    detail::intrusive_list<load_record, load_tag> under_way;  ///< under the lock
  };

  static const cache_options& checked(const cache_options& o, bool loads_itself) {
    constexpr std::chrono::nanoseconds zero(0);
    if (o.capacity == 0)
      detail::throw_misuse("runnel::cache: capacity is 0: nothing would be kept; single_flight keeps nothing");
    if (o.ttl.nanoseconds() <= zero)
      detail::throw_misuse("runnel::cache: ttl must be positive: no value would be good");
    if (o.stale_for.nanoseconds() < zero || o.error_ttl.nanoseconds() < zero)
      detail::throw_misuse("runnel::cache: stale_for and error_ttl must not be negative");
    if (o.stale_for.nanoseconds() > zero && !loads_itself)
      detail::throw_misuse("runnel::cache: stale_for needs a function that outlives the callers: "
                           "give it to the constructor");
    return o;
  }

  part& part_of(const K& key) const {
    // Fibonacci hashing: std::hash of an integer is the integer.
    const auto h = static_cast<std::uint64_t>(Hash()(key)) * 0x9E3779B97F4A7C15ull;
    return *parts_[(h >> 56) & mask_];
  }

  /// The value, if it is there; `to_refresh`: the caller has to see to a new one. Throws a kept error.
  found look(const K& key, std::optional<V>& out, stale s) {
    part& p = part_of(key);
    const time_point now = steady_clock::now();
    const std::lock_guard hold(p.lock);
    content* c = p.entries.find(key);
    if (c && now < c->good_until) {
      counts_[hits].add();
      out.emplace(*value_of(*c));
      return found::value;
    }
    if (!c || !c->value || s == stale::counts_not || now >= options_.stale_for.after(c->good_until)) {
      counts_[misses].add();
      return found::nothing;
    }
    counts_[stale_hits].add();
    out.emplace(*c->value);
    return std::exchange(c->refreshing, true) ? found::value : found::to_refresh;
  }
  static const std::optional<V>& value_of(const content& c) {
    if (c.error) std::rethrow_exception(c.error);
    return c.value;
  }
  /// What another load has brought since the caller looked. Throws a kept error.
  std::optional<V> brought(part& p, const K& key) {
    const time_point now = steady_clock::now();
    const std::lock_guard hold(p.lock);
    const content* c = p.entries.find(key);
    return c && now < c->good_until ? value_of(*c) : std::nullopt;
  }

  template <class F>
  V kept_or_loaded(const context* ctx, const K& key, F&& f) {
    std::optional<V> there;
    if (look(key, there, stale::counts_not) == found::nothing) return load(ctx, key, std::forward<F>(f));
    return *std::move(there);
  }
  V kept_or_made(const context* ctx, const K& key) {
    if (!loader_)
      detail::throw_misuse("runnel::cache: get() needs a function given to the constructor; else get_or_load()");
    std::optional<V> there;
    switch (look(key, there, stale::counts)) {
      case found::nothing: return load(ctx, key, [&] { return loader_(key); });
      case found::to_refresh: refresh(key); break;
      case found::value: break;
    }
    return *std::move(there);
  }
  /// Loads by f, or shares another's load.
  template <class F>
  V load(const context* ctx, const K& key, F&& f) {
    std::optional<detail::joined_scope> both;
    if (ctx) both.emplace(*ctx);
    part& p = part_of(key);
    return flights_.run(key, [&]() -> V {
      if (auto value = brought(p, key)) return *std::move(value);
      return make(p, key, std::forward<F>(f), options_.error_ttl);
    });
  }

  /// The record of a load for as long as it is under way.
  struct under_way {
    under_way(part& q, const K& key) : p(q), record(key) {
      const std::lock_guard hold(p.lock);
      p.under_way.push_back(record);
    }
    under_way(const under_way&) = delete;
    under_way& operator=(const under_way&) = delete;
    ~under_way() {
      const std::lock_guard hold(p.lock);
      p.under_way.remove(record);
    }
    part& p;
    load_record record;
  };

  /// Loads by f, in a flight of the key, and keeps what it brings; an error for `error_ttl`.
  template <class F>
  V make(part& p, const K& key, F&& f, const duration& error_ttl) {
    const under_way mine(p, key);
    std::optional<V> made;
    try {
      made.emplace(std::invoke(std::forward<F>(f)));
    } catch (const canceled& e) {
      if (!detail::is_callers_own(e.origin().order())) failed(mine, error_ttl);
      throw;
    } catch (...) {
      failed(mine, error_ttl);
      throw;
    }
    counts_[loads].add();
    keep_if_possible(mine, [&] { return content{made, nullptr, options_.ttl.from_now()}; });
    return *std::move(made);
  }
  void failed(const under_way& mine, const duration& error_ttl) {
    counts_[loads].add();
    counts_[failures].add();
    if (error_ttl.nanoseconds() > std::chrono::nanoseconds(0))
      keep_if_possible(mine, [&] { return content{std::nullopt, std::current_exception(), error_ttl.from_now()}; });
  }
  /// What cannot be kept, for want of memory, goes to those who wait for it all the same.
  template <class What>
  void keep_if_possible(const under_way& mine, What what) {
    try {
      keep(mine.p, mine.record.key, what(), &mine.record);
    } catch (const std::bad_alloc&) {
    }
  }

  /// What is being loaded is not to be kept; null: for any key.
  void spoil(part& p, const K* key) {
    const std::lock_guard hold(p.lock);
    p.under_way.for_each([&](load_record& r) {
      if (!key || Equal()(r.key, *key)) r.spoiled = true;
    });
  }
  /// Keeps it, unless the load that brought it is spoiled.
  void keep(part& p, const K& key, content what, const load_record* by) {
    node fresh = map::make(key, std::move(what));
    std::array<node, 2> gone;  // end behind the lock
    const std::lock_guard hold(p.lock);
    if (by && by->spoiled) return;
    gone[0] = p.entries.take(key);
    if (gone[0].empty() && p.entries.size() >= room_each_) {
      gone[1] = p.entries.take_oldest(1, [](const content&) { return true; });
      counts_[evictions].add();
    }
    p.entries.insert(std::move(fresh));
  }
  void clear(part& p) {
    for (bool more = true; more;) {
      node gone;
      const std::lock_guard hold(p.lock);
      gone = p.entries.take_oldest(1, [](const content&) { return true; });
      more = !gone.empty();
    }
  }

  /// Loads a new value on a fiber of the cache's own.
  void refresh(const K& key) {
    try {
      refreshes_.go([this, key] {
        try {
          flights_.run(key, [&]() -> V {
            return make(part_of(key), key, [&] { return loader_(key); }, std::chrono::nanoseconds(0));
          });
        } catch (...) {  // the stale one stays
        }
        end_refresh(key);
      });
    } catch (...) {  // no memory for a fiber
      end_refresh(key);
    }
  }
  /// The next who finds the value stale may try again: also where a new one could not be kept.
  void end_refresh(const K& key) {
    part& p = part_of(key);
    const std::lock_guard hold(p.lock);
    if (content* c = p.entries.find(key)) c->refreshing = false;
  }

  const cache_options options_;
  const std::function<V(const K&)> loader_;
  const std::size_t mask_, room_each_;
  std::unique_ptr<cache_padded<part>[]> parts_;
  mutable std::array<striped_counter, number_of_counts> counts_;
  single_flight<K, V, Hash, Equal> flights_;
  task_group refreshes_{context::background()};  ///< the last: ends first
};

}  // namespace runnel::inline RUNNEL_ABI
