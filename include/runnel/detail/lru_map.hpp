// A hash map whose entries also stand in the order of their last use. Callers provide the locking; entries are made and
// destroyed by the caller, outside of it, as `node`s.
#pragma once

#include <runnel/base/intrusive_list.hpp>
#include <runnel/sched/stripe.hpp>

#include <cstddef>
#include <unordered_map>
#include <utility>

namespace runnel::inline RUNNEL_ABI::detail {

struct lru_tag;

template <class K, class V, class Hash, class Equal>
class lru_map {
  struct slot : list_hook<lru_tag> {
    explicit slot(V&& v) : value(std::move(v)) {}
    V value;
    const K* key = nullptr;
  };
  using index = std::unordered_map<K, slot, Hash, Equal>;

 public:
  /// An entry that stands in no map; destroys it at its end.
  using node = typename index::node_type;

  lru_map() : lru_map(Hash(), Equal()) {}
  lru_map(const Hash& hash, const Equal& equal) : index_(0, hash, equal) {}
  lru_map(const lru_map&) = delete;
  lru_map& operator=(const lru_map&) = delete;

  std::size_t size() const noexcept { return index_.size(); }
  /// The value, now the most recently used one; null where there is none.
  V* find(const K& key) {
    const auto at = index_.find(key);
    if (at == index_.end()) return nullptr;
    by_use_.remove(at->second);
    by_use_.push_front(at->second);
    return &at->second.value;
  }
  /// The same, and the order of use stays as it was.
  const V* peek(const K& key) const {
    const auto at = index_.find(key);
    return at == index_.end() ? nullptr : &at->second.value;
  }
  static node make(const K& key, V value) {
    index one;
    one.emplace(key, std::move(value));
    return one.extract(one.begin());
  }
  /// A key that is not there. Throws std::bad_alloc, and then nothing has changed.
  void insert(node&& n) {
    const auto at = index_.insert(std::move(n)).position;
    at->second.key = &at->first;
    by_use_.push_front(at->second);
  }
  /// Takes the entry of the key out; empty where there is none.
  node take(const K& key) {
    const auto at = index_.find(key);
    if (at == index_.end()) return {};
    by_use_.remove(at->second);
    return index_.extract(at);
  }
  /// Takes out the first that `unwanted(value)` says so of, among `look` of those that have not been used for the longest time.
  template <class Unwanted>
  node take_oldest(std::size_t look, Unwanted unwanted) {
    slot* s = by_use_.empty() ? nullptr : static_cast<slot*>(by_use_.front()->prev);
    for (; s && look > 0; --look, s = static_cast<slot*>(s->prev)) {
      if (unwanted(s->value)) return take(*s->key);
      if (s == by_use_.front()) break;
    }
    return {};
  }
  /// The same; those that are passed over count as used now, so that they are not looked at again before all others.
  template <class Unwanted>
  node take_oldest_or_renew(std::size_t look, Unwanted unwanted) {
    for (; !by_use_.empty() && look > 0; --look) {
      slot& s = *static_cast<slot*>(by_use_.front()->prev);
      if (unwanted(s.value)) return take(*s.key);
      by_use_.remove(s);
      by_use_.push_front(s);
    }
    return {};
  }
  template <class F>
  void for_each_value(F f) {
    by_use_.for_each([&](slot& s) { f(s.value); });
  }

 private:
  index index_;
  intrusive_list<slot, lru_tag> by_use_;  ///< the most recent first
};

/// Into how many parts, each with a lock of its own, a map of so many entries is divided: a small one is exact, in a large
/// one few meet at a lock. A power of two.
inline std::size_t lru_parts(std::size_t capacity) noexcept {
  const std::size_t parts = std::size_t{4} * sched::stripe_count();
  return capacity >= 64 * parts ? parts : 1;
}

}  // namespace runnel::inline RUNNEL_ABI::detail
