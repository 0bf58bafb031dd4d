// A sequential map, for linearizability.hpp.
#pragma once

#include "linearizability.hpp"

#include <map>

namespace runnel::test::history {

struct map_model {
  enum class kind { find, contains, insert, insert_or_assign, erase, take, get_or_create };

  struct event {
    kind what = kind::find;
    int key = 0;
    int argument = 0;
    int result = 0;  ///< the value, or 1 and 0 for yes and no; `none` for no value
    std::uint64_t called = 0, returned = 0;
  };

  int apply(const event& e) {
    const auto at = entries.find(e.key);
    const int value = at == entries.end() ? none : at->second;
    switch (e.what) {
      case kind::find: return value;
      case kind::contains: return value != none;
      case kind::insert: return entries.emplace(e.key, e.argument).second;
      case kind::insert_or_assign: return entries.insert_or_assign(e.key, e.argument).second;
      case kind::erase: return entries.erase(e.key) != 0;
      case kind::take: entries.erase(e.key); return value;
      case kind::get_or_create: return entries.emplace(e.key, e.argument).first->second;
    }
    return none;
  }
  auto operator<=>(const map_model&) const = default;

  /// Calls the operation on a map and notes the answer.
  template <class Map>
  static void execute(Map& m, event& e) {
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
  static std::vector<event> random_events(std::size_t count, int keys, int first_value, Draw draw) {
    std::vector<event> events(count);
    for (event& e : events) {
      e.what = static_cast<kind>(draw(7u));
      e.key = static_cast<int>(draw(static_cast<std::uint32_t>(keys)));
      e.argument = first_value++;
    }
    return events;
  }

  std::map<int, int> entries;
};

}  // namespace runnel::test::history
