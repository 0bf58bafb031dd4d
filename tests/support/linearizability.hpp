// Whether a recorded history of a map could have come from a sequential one: each operation at some instant between its call
// and its return (M. Herlihy, J. Wing, "Linearizability", 1990; the search with a memory of G. Lowe, "Testing for
// linearizability", 2017). Depends on no runtime: behaviour tests and explored ones share it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace runnel::test::history {

enum class kind { find, contains, insert, insert_or_assign, erase, take, get_or_create };

struct event {
  kind what = kind::find;
  int key = 0;
  int argument = 0;
  int result = 0;  ///< the value, or 1 and 0 for yes and no; `none` for no value
  std::uint64_t called = 0, returned = 0;
};
inline constexpr int none = -1;

using model = std::unordered_map<int, int>;

/// What a sequential map would have answered.
inline int apply(model& m, const event& e) {
  const auto at = m.find(e.key);
  const int value = at == m.end() ? none : at->second;
  switch (e.what) {
    case kind::find: return value;
    case kind::contains: return value != none;
    case kind::insert: return m.emplace(e.key, e.argument).second;
    case kind::insert_or_assign: return m.insert_or_assign(e.key, e.argument).second;
    case kind::erase: return m.erase(e.key) != 0;
    case kind::take: m.erase(e.key); return value;
    case kind::get_or_create: return m.emplace(e.key, e.argument).first->second;
  }
  return none;
}

/// Calls the operation on a map and notes the answer.
template <class Map>
void execute(Map& m, event& e) {
  switch (e.what) {
    case kind::find: e.result = m.find(e.key).value_or(none); break;
    case kind::contains: e.result = m.contains(e.key); break;
    case kind::insert: e.result = m.insert(e.key, e.argument); break;
    case kind::insert_or_assign: e.result = m.insert_or_assign(e.key, e.argument); break;
    case kind::erase: e.result = m.erase(e.key); break;
    case kind::take: e.result = m.take(e.key).value_or(none); break;
    case kind::get_or_create: e.result = m.get_or_create(e.key, [&] { return e.argument; }); break;
  }
}

/// Operations on few keys, with values that tell them apart.
template <class Draw>
std::vector<event> random_events(std::size_t count, int keys, int first_value, Draw draw) {
  std::vector<event> events(count);
  for (event& e : events) {
    e.what = static_cast<kind>(draw(7u));
    e.key = static_cast<int>(draw(static_cast<std::uint32_t>(keys)));
    e.argument = first_value++;
  }
  return events;
}

/// At most 64 operations.
class search {
 public:
  explicit search(std::vector<event> h) : events_(std::move(h)) {}
  bool linearizable() {
    model empty;
    return from(0, empty);
  }

 private:
  bool from(std::uint64_t done, model& state) {
    if (done == (events_.size() == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << events_.size()) - 1)) return true;
    if (!seen_.insert({done, text_of(state)}).second) return false;
    std::uint64_t first_return = ~std::uint64_t{0};
    for (std::size_t i = 0; i < events_.size(); ++i)
      if (!(done >> i & 1) && events_[i].returned < first_return) first_return = events_[i].returned;
    for (std::size_t i = 0; i < events_.size(); ++i) {
      if ((done >> i & 1) || events_[i].called > first_return) continue;  // another one had returned before it was called
      model next = state;
      if (apply(next, events_[i]) == events_[i].result && from(done | std::uint64_t{1} << i, next)) return true;
    }
    return false;
  }
  static std::string text_of(const model& m) {
    std::set<std::pair<int, int>> sorted(m.begin(), m.end());
    std::string s;
    for (const auto& [k, v] : sorted) s += std::to_string(k) + ':' + std::to_string(v) + ' ';
    return s;
  }

  const std::vector<event> events_;
  std::set<std::pair<std::uint64_t, std::string>> seen_;
};

inline bool linearizable(std::vector<event> h) { return search(std::move(h)).linearizable(); }

}  // namespace runnel::test::history
