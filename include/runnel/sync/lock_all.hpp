// Locks several at once, in one order, for a scope.
//
//   const auto held = runnel::lock_all(from.m, to.m);             // a transfer between accounts, perhaps the same one
//   const auto all = runnel::lock_all(accounts, &account::m);     // a range, and how to get from an element to its lock
//
// Use when: an operation needs several locks, of a number that is known at run time, or some of which may be the same. For two
// or three different ones std::scoped_lock does as well.
// Guarantees: no deadlock among those who lock by lock_all, std::scoped_lock or std::lock and hold nothing when they begin:
// the order is that of the addresses. What is given twice is locked once. All or none: an exception of one lock() releases
// those before it.
// Blocking and cancellation: as lock() of each, or lock(ctx) with a context given first.
// Errors: what the locks throw. To hold one of them already is a deadlock.
// Cost: a sort. A range allocates an array.
// Source: E. W. Dijkstra, "Hierarchical ordering of sequential processes" (1971), https://doi.org/10.1007/BF00289519.
#pragma once

#include <runnel/base/abi.hpp>
#include <runnel/base/annotations.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

namespace runnel::inline RUNNEL_ABI {

class context;

namespace detail {

template <class L>
concept can_be_locked = requires(L& l) {
  l.lock();
  l.unlock();
};
/// By lock(ctx) too.
template <class L>
concept can_observe = can_be_locked<L> && requires(L& l, const context& ctx) { l.lock(ctx); };

/// A lock of whatever type.
struct any_lock {
  using lock_function = void (*)(void*, const context*);

  template <can_be_locked L>
  explicit any_lock(L& l) noexcept
      : any_lock(l, [](void* p, const context*) RUNNEL_NO_THREAD_SAFETY_ANALYSIS { static_cast<L*>(p)->lock(); }) {}
  /// One that observes the context which it is then given.
  template <can_observe L>
  static any_lock observing(L& l) noexcept {
    return {l, [](void* p, const context* c) RUNNEL_NO_THREAD_SAFETY_ANALYSIS { static_cast<L*>(p)->lock(*c); }};
  }
  void* object;
  lock_function lock;
  void (*unlock)(void*);

 private:
  template <class L>
  any_lock(L& l, lock_function f) noexcept
      : object(std::addressof(l)),
        lock(f),
        unlock([](void* p) RUNNEL_NO_THREAD_SAFETY_ANALYSIS { static_cast<L*>(p)->unlock(); }) {}
};

template <class Range, class Projection>
using lock_of = std::remove_reference_t<std::invoke_result_t<Projection&, std::ranges::range_reference_t<Range>>>;

}  // namespace detail

/// Holds what lock_all has locked until its end. Entries: an array or a vector of any_lock.
template <class Entries>
class [[nodiscard]] all_locked {
 public:
  explicit all_locked(Entries entries, const context* ctx = nullptr) : entries_(std::move(entries)) {
    const auto by_address = [](const detail::any_lock& a, const detail::any_lock& b) { return std::less<>()(a.object, b.object); };
    std::sort(entries_.begin(), entries_.end(), by_address);
    const auto last = std::unique(entries_.begin(), entries_.end(), [](auto& a, auto& b) { return a.object == b.object; });
    const auto distinct = static_cast<std::size_t>(last - entries_.begin());
    try {
      for (; held_ < distinct; ++held_) entries_[held_].lock(entries_[held_].object, ctx);
    } catch (...) {
      unlock();
      throw;
    }
  }
  all_locked(const all_locked&) = delete;
  all_locked& operator=(const all_locked&) = delete;
  ~all_locked() { unlock(); }

  /// Releases them before the end.
  void unlock() {
    while (held_ > 0) {
      --held_;
      entries_[held_].unlock(entries_[held_].object);
    }
  }
  /// How many there are.
  std::size_t size() const noexcept { return held_; }

 private:
  Entries entries_;
  std::size_t held_ = 0;
};

/// Locks them all until the end of what it returns.
/// - blocks: until each is free
/// - cancel: ignores, as lock()
/// - threads: any
template <detail::can_be_locked... Locks>
RUNNEL_PARKS auto lock_all(Locks&... locks) {
  return all_locked(std::array<detail::any_lock, sizeof...(Locks)>{detail::any_lock(locks)...});
}
/// The same for the elements of a range, or for what `projection` finds in each.
/// - blocks: until each is free
/// - cancel: ignores, as lock()
/// - threads: any
template <std::ranges::input_range Range, class Projection = std::identity>
  requires detail::can_be_locked<detail::lock_of<Range, Projection>>
RUNNEL_PARKS auto lock_all(Range&& range, Projection projection = {}) {
  std::vector<detail::any_lock> entries;
  for (auto&& element : range) entries.emplace_back(std::invoke(projection, element));
  return all_locked(std::move(entries));
}
/// The same, observing ctx and the ambient context, with locks that have lock(ctx).
/// - blocks: until each is free
/// - cancel: throws canceled, with none of them
/// - threads: any
template <detail::can_observe... Locks>
RUNNEL_PARKS auto lock_all(const context& ctx, Locks&... locks) {
  return all_locked(std::array<detail::any_lock, sizeof...(Locks)>{detail::any_lock::observing(locks)...}, &ctx);
}
template <std::ranges::input_range Range, class Projection = std::identity>
  requires detail::can_observe<detail::lock_of<Range, Projection>>
RUNNEL_PARKS auto lock_all(const context& ctx, Range&& range, Projection projection = {}) {
  std::vector<detail::any_lock> entries;
  for (auto&& element : range) entries.push_back(detail::any_lock::observing(std::invoke(projection, element)));
  return all_locked(std::move(entries), &ctx);
}

}  // namespace runnel::inline RUNNEL_ABI
