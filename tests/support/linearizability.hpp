// Whether a recorded history could have come from a sequential object: each operation at some instant between its call and
// its return (M. Herlihy, J. Wing, "Linearizability", 1990; the search with a memory of G. Lowe, "Testing for
// linearizability", 2017). Depends on no runtime: behaviour tests and explored ones share it.
//
// What the object is says a model: map_model.hpp, sequence_model.hpp.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

namespace runnel::test::history {

/// The answer of an operation that found no value.
inline constexpr int none = -1;

/// A slow and obvious object: apply() changes it, and returns what the operation answers. Its events have `result`, and
/// `called` and `returned` by one clock.
template <class M>
concept sequential_model = std::copyable<M> && std::three_way_comparable<M> && requires(M m, const typename M::event& e) {
  { m.apply(e) == e.result } -> std::same_as<bool>;
  { e.called < e.returned } -> std::same_as<bool>;
};

/// At most 64 operations.
template <sequential_model M>
class search {
 public:
  explicit search(std::vector<typename M::event> h) : events_(std::move(h)) {}
  bool succeeds(const M& start) { return from(0, start); }

 private:
  bool from(std::uint64_t done, const M& state) {
    if (done == (events_.size() == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << events_.size()) - 1)) return true;
    if (!seen_.insert({done, state}).second) return false;
    std::uint64_t first_return = ~std::uint64_t{0};
    for (std::size_t i = 0; i < events_.size(); ++i)
      if (!(done >> i & 1) && events_[i].returned < first_return) first_return = events_[i].returned;
    for (std::size_t i = 0; i < events_.size(); ++i) {
      if ((done >> i & 1) || events_[i].called > first_return) continue;  // another one had returned before it was called
      M next = state;
      if (next.apply(events_[i]) == events_[i].result && from(done | std::uint64_t{1} << i, next)) return true;
    }
    return false;
  }

  const std::vector<typename M::event> events_;
  std::set<std::pair<std::uint64_t, M>> seen_;
};

/// Whether the operations, done one after the other from `start`, could have answered so.
template <sequential_model M>
bool linearizable(std::vector<typename M::event> h, const M& start = M{}) {
  return search<M>(std::move(h)).succeeds(start);
}

/// Executes the operation of e on the object, with the instants around it. `clock` is an std::atomic<std::uint64_t>.
template <sequential_model M, class Object>
void record(Object& object, typename M::event& e, auto& clock) {
  e.called = clock.fetch_add(1);
  M::execute(object, e);
  e.returned = clock.fetch_add(1);
}

/// The history of all who took part.
template <class Event>
std::vector<Event> joined(const std::vector<std::vector<Event>>& lanes) {
  std::vector<Event> all;
  for (const auto& lane : lanes) all.insert(all.end(), lane.begin(), lane.end());
  return all;
}

}  // namespace runnel::test::history
