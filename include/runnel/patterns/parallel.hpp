// Fork-join: functions, or one function for each element of a range, run in parallel and joined at the end of the call.
//
// Use when: work that computes splits into parts. A part that no other worker has taken when the caller comes to it
// costs a call, so split without counting. When not: parts that pass values on (channels); tasks whose number is not
// known when they begin (task_group); a range whose elements cost nanoseconds and that is short.
// Guarantees: structured: when the call returns or throws, all parts have ended. What happened before the call happens
// before each part, and each part before the return. With one worker, parts run in order, as in a loop, unless they
// wait. Results stand in the order of the input.
// Blocking and cancellation: parts may wait for anything, each other included: one that does gives its worker to the
// others. The call observes the ambient context when it begins, and the functions over ranges between grains as well;
// parts inherit it.
// Errors: the first failure, by time, is rethrown when all parts have ended. Parts that have not begun are skipped,
// those that have are canceled. A part's cancellation is a failure like any other. Inside a cancel_shield the part that
// the caller itself runs is not canceled.
// Thread-safety: from any fiber or thread. A part may run on another fiber, so on another thread, than the caller:
// functions that share something need a lock for it. On a thread that is no worker everything runs on fibers of the
// runtime.
// Cost: no allocation for parts, unless another worker takes one: then a fiber. Stacks of parts taken are as large as
// the caller's.
// Source: child stealing: R. D. Blumofe, C. E. Leiserson (1999), https://doi.org/10.1145/324133.324234; K.-F. Faxén,
// "Wool" (2008), https://doi.org/10.1145/1556444.1556457.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/channel.hpp>
#include <runnel/detail/joined_scope.hpp>
#include <runnel/detail/parallel_core.hpp>

#include <concepts>
#include <iterator>
#include <ranges>
#include <tuple>
#include <vector>

namespace runnel::inline RUNNEL_ABI {

struct parallel_options {
  /// At least so many elements in a row are one part. 0: an eighth of a worker's share, which suits parts that compute;
  /// 1 for parts that wait.
  std::size_t grain = 0;
  std::string_view name = {};  ///< names the fibers of parts that were taken, in reports
};

namespace detail {

/// What a function returned, wherever it ran.
template <class R>
struct returned_value {
  using type = R;
  template <class F>
  void fill(F&& f) { value.emplace(std::forward<F>(f)()); }
  R take() { return std::move(*value); }
  std::optional<R> value;
};
template <class R>
  requires std::is_scalar_v<R>
struct returned_value<R> {
  using type = R;
  template <class F>
  void fill(F&& f) { value = std::forward<F>(f)(); }
  R take() { return value; }
  R value{};
};
template <class R>
struct returned_value<R&> {
  using type = R&;
  template <class F>
  void fill(F&& f) { value = std::addressof(std::forward<F>(f)()); }
  R& take() { return *value; }
  R* value = nullptr;
};
template <>
struct returned_value<void> {
  using type = unit;
  template <class F>
  void fill(F&& f) { std::forward<F>(f)(); }
  unit take() { return {}; }
};
template <class F>
using returned_by = returned_value<std::invoke_result_t<F>>;

inline constexpr sched::fork_label no_label{};

/// The functions [0, I]: the first by a call, the others forked, so that they are joined in their order.
template <std::size_t I, class Functions, class Results>
[[gnu::always_inline]] inline void invoke_up_to(parallel_scope& s, Functions& functions, Results& results) noexcept {
  using function = std::tuple_element_t<I, Functions>;
  auto call = [&f = std::get<I>(functions), &result = std::get<I>(results)] { result.fill(static_cast<function>(f)); };
  if constexpr (I == 0) {
    try {
      call();
    } catch (...) {
      s.fail();
    }
  } else {
    calling_branch<decltype(call)> b(s, call);
    sched::fork(b, s.here);
    invoke_up_to<I - 1>(s, functions, results);
    s.join(b, s.here, call);
  }
}

std::size_t automatic_grain(std::size_t n) noexcept;

/// Halves of a range, until they are no larger than the grain; leaf(begin, n) for each, left before right. What leaf
/// returns is combined by join(left, right).
template <class It, class Leaf>
class range_splitter {
  using difference = std::iter_difference_t<It>;

 public:
  range_splitter(parallel_scope& s, std::size_t n, std::size_t grain, Leaf& leaf) noexcept
      : scope_(s), grain_(grain ? grain : automatic_grain(n)), leaf_(leaf) {}

  /// `result`: where leaf puts what it has found; parts have one each.
  template <class Result, class Combine>
  void run(It first, std::size_t n, Result& result, Combine& combine) noexcept {
    if (n <= grain_) {
      if (!scope_.may_go_on()) return;
      try {
        leaf_(first, n, result);
      } catch (...) {
        scope_.fail();
      }
      return;
    }
    const std::size_t half = n / 2;
    Result right_result{};
    auto right = [&] { run(first + static_cast<difference>(half), n - half, right_result, combine); };
    calling_branch<decltype(right)&> b(scope_, right);
    const sched::fork_place here = sched::here();
    sched::fork(b, here);
    run(first, half, result, combine);
    scope_.join(b, here, right);
    if (scope_.failed()) return;
    try {
      combine(result, right_result);
    } catch (...) {
      scope_.fail();
    }
  }

 private:
  parallel_scope& scope_;
  const std::size_t grain_;
  Leaf& leaf_;
};

/// work(first, n) over a range that is split by position: iterators of one that cannot be are gathered first.
template <class It, class End, class Work>
void over_positions(It first, End last, Work work) {
  if constexpr (std::random_access_iterator<It> && std::sized_sentinel_for<End, It>) {
    work(first, static_cast<std::size_t>(last - first), [](const It& i) -> decltype(auto) { return *i; });
  } else {
    std::vector<It> all;
    for (; first != last; ++first) all.push_back(first);
    work(all.begin(), all.size(), [](const auto& i) -> decltype(auto) { return **i; });
  }
}

struct nothing {};
struct combine_nothing {
  void operator()(nothing&, nothing&) const noexcept {}
};

template <class It, class End, class F>
void for_each_position(const parallel_options& options, const site& at, It first, End last, F& f) {
  over_positions(std::move(first), std::move(last), [&](auto begin, std::size_t n, auto element) {
    in_parallel_scope({options.name, at}, [&](parallel_scope& s) {
      auto leaf = [&](auto i, std::size_t k, nothing&) {
        for (; k > 0; --k, ++i) static_cast<void>(std::invoke(f, element(i)));
      };
      nothing none;
      combine_nothing combine;
      range_splitter<decltype(begin), decltype(leaf)>(s, n, options.grain, leaf).run(begin, n, none, combine);
    });
  });
}

template <class It, class End, class F>
auto transform_positions(const parallel_options& options, const site& at, It first, End last, F& f) {
  using R = std::remove_cvref_t<std::invoke_result_t<F&, std::iter_reference_t<It>>>;
  static_assert(!std::is_void_v<R>,
                "runnel::parallel_transform: f returns what the vector is to hold; for none see parallel_for_each");
  std::vector<std::optional<R>> found;
  over_positions(std::move(first), std::move(last), [&](auto begin, std::size_t n, auto element) {
    found.resize(n);
    in_parallel_scope({options.name, at}, [&](parallel_scope& s) {
      auto leaf = [&](auto i, std::size_t k, nothing&) {
        for (auto to = found.begin() + static_cast<std::ptrdiff_t>(i - begin); k > 0; --k, ++i, ++to)
          to->emplace(std::invoke(f, element(i)));
      };
      nothing none;
      combine_nothing combine;
      range_splitter<decltype(begin), decltype(leaf)>(s, n, options.grain, leaf).run(begin, n, none, combine);
    });
  });
  std::vector<R> results;
  results.reserve(found.size());
  for (std::optional<R>& r : found) results.push_back(std::move(*r));
  return results;
}

template <class It, class End, class T, class Op, class F>
T reduce_positions(const parallel_options& options, const site& at, It first, End last, T init, Op& op, F& transform) {
  std::optional<T> sum;
  over_positions(std::move(first), std::move(last), [&](auto begin, std::size_t n, auto element) {
    if (n == 0) return;
    in_parallel_scope({options.name, at}, [&](parallel_scope& s) {
      auto leaf = [&](auto i, std::size_t k, std::optional<T>& part) {
        part.emplace(std::invoke(transform, element(i)));
        for (++i, --k; k > 0; --k, ++i) *part = std::invoke(op, std::move(*part), std::invoke(transform, element(i)));
      };
      auto combine = [&](std::optional<T>& left, std::optional<T>& right) {
        *left = std::invoke(op, std::move(*left), std::move(*right));
      };
      range_splitter<decltype(begin), decltype(leaf)>(s, n, options.grain, leaf).run(begin, n, sum, combine);
    });
  });
  if (!sum) return init;
  return std::invoke(op, std::move(init), std::move(*sum));
}

}  // namespace detail

/// Calls every function, the first on the caller, and returns a tuple of what they return, in their order; void where
/// all return void, a `unit` for those that do where others do not.
/// - blocks: until all have ended
/// - cancel: throws canceled when the caller is canceled before it begins; the functions see it themselves
/// - threads: any
template <std::invocable... F>
  requires(sizeof...(F) > 0)
RUNNEL_PARKS RUNNEL_JOINS auto parallel_invoke(F&&... f) {
  auto functions = std::forward_as_tuple(std::forward<F>(f)...);
  std::tuple<detail::returned_by<F>...> results;
  detail::in_parallel_scope(detail::no_label, [&](detail::parallel_scope& s) __attribute__((always_inline)) {
    detail::invoke_up_to<sizeof...(F) - 1>(s, functions, results);
  });
  if constexpr (!(std::is_void_v<std::invoke_result_t<F>> && ...)) {
    return std::apply(
        [](auto&... r) { return std::tuple<typename std::remove_reference_t<decltype(r)>::type...>(r.take()...); },
        results);
  }
}

/// The same, observing ctx and the ambient context: the functions too, which end with either.
/// - blocks: until all have ended
/// - cancel: throws canceled when the caller is canceled before it begins; the functions see it themselves
/// - threads: any
template <std::invocable... F>
  requires(sizeof...(F) > 0)
RUNNEL_PARKS RUNNEL_JOINS auto parallel_invoke(const context& ctx, F&&... f) {
  const detail::joined_scope both(ctx);
  return parallel_invoke(std::forward<F>(f)...);
}

/// Calls f(element) for every element. Needs a range that can be gone through twice; one without random access is gone
/// through once to gather its iterators.
/// - blocks: until all parts have ended
/// - cancel: throws canceled when the caller is canceled before a grain begins
/// - threads: any
template <std::forward_iterator It, std::sentinel_for<It> End, class F>
  requires std::invocable<F&, std::iter_reference_t<It>>
RUNNEL_PARKS RUNNEL_JOINS void parallel_for_each(It first, End last, F f, parallel_options options = {},
                                                 source_location at = source_location::current()) {
  detail::for_each_position(options, at, std::move(first), std::move(last), f);
}
template <std::ranges::forward_range Range, class F>
  requires std::invocable<F&, std::ranges::range_reference_t<Range>>
RUNNEL_PARKS RUNNEL_JOINS void parallel_for_each(Range&& range, F f, parallel_options options = {},
                                                 source_location at = source_location::current()) {
  detail::for_each_position(options, at, std::ranges::begin(range), std::ranges::end(range), f);
}
/// The same, observing ctx and the ambient context: f too, whose ambient context ends with either.
/// - blocks: until all parts have ended
/// - cancel: throws canceled when the caller is canceled before a grain begins
/// - threads: any
template <std::ranges::forward_range Range, class F>
  requires std::invocable<F&, std::ranges::range_reference_t<Range>>
RUNNEL_PARKS RUNNEL_JOINS void parallel_for_each(const context& ctx, Range&& range, F f, parallel_options options = {},
                                                 source_location at = source_location::current()) {
  const detail::joined_scope both(ctx);
  detail::for_each_position(options, at, std::ranges::begin(range), std::ranges::end(range), f);
}

/// A vector of what f(element) returns for every element, in the order of the input. What f returns must be movable.
/// - blocks: until all parts have ended
/// - cancel: as parallel_for_each
/// - threads: any
template <std::forward_iterator It, std::sentinel_for<It> End, class F>
  requires std::invocable<F&, std::iter_reference_t<It>>
RUNNEL_PARKS RUNNEL_JOINS auto parallel_transform(It first, End last, F f, parallel_options options = {},
                                                  source_location at = source_location::current()) {
  return detail::transform_positions(options, at, std::move(first), std::move(last), f);
}
template <std::ranges::forward_range Range, class F>
  requires std::invocable<F&, std::ranges::range_reference_t<Range>>
RUNNEL_PARKS RUNNEL_JOINS auto parallel_transform(Range&& range, F f, parallel_options options = {},
                                                  source_location at = source_location::current()) {
  return detail::transform_positions(options, at, std::ranges::begin(range), std::ranges::end(range), f);
}
/// The same, observing ctx as parallel_for_each does.
/// - blocks: until all parts have ended
/// - cancel: as parallel_for_each
/// - threads: any
template <std::ranges::forward_range Range, class F>
  requires std::invocable<F&, std::ranges::range_reference_t<Range>>
RUNNEL_PARKS RUNNEL_JOINS auto parallel_transform(const context& ctx, Range&& range, F f, parallel_options options = {},
                                                  source_location at = source_location::current()) {
  const detail::joined_scope both(ctx);
  return detail::transform_positions(options, at, std::ranges::begin(range), std::ranges::end(range), f);
}

/// op(init, op(..., ...)) over transform(element) of every element, in their order but with brackets anywhere: op must
/// be associative, not commutative. `init` where there are none.
/// - blocks: until all parts have ended
/// - cancel: as parallel_for_each
/// - threads: any
template <std::ranges::forward_range Range, std::movable T, class Op, class Transform = std::identity>
  requires std::convertible_to<std::invoke_result_t<Op&, T, T>, T> &&
           std::convertible_to<std::invoke_result_t<Transform&, std::ranges::range_reference_t<Range>>, T>
RUNNEL_PARKS RUNNEL_JOINS T parallel_reduce(Range&& range, T init, Op op, Transform transform = {},
                                            parallel_options options = {},
                                            source_location at = source_location::current()) {
  return detail::reduce_positions(options, at, std::ranges::begin(range), std::ranges::end(range), std::move(init), op,
                                  transform);
}
/// The same, observing ctx as parallel_for_each does.
/// - blocks: until all parts have ended
/// - cancel: as parallel_for_each
/// - threads: any
template <std::ranges::forward_range Range, std::movable T, class Op, class Transform = std::identity>
  requires std::convertible_to<std::invoke_result_t<Op&, T, T>, T> &&
           std::convertible_to<std::invoke_result_t<Transform&, std::ranges::range_reference_t<Range>>, T>
RUNNEL_PARKS RUNNEL_JOINS T parallel_reduce(const context& ctx, Range&& range, T init, Op op, Transform transform = {},
                                            parallel_options options = {},
                                            source_location at = source_location::current()) {
  const detail::joined_scope both(ctx);
  return detail::reduce_positions(options, at, std::ranges::begin(range), std::ranges::end(range), std::move(init), op,
                                  transform);
}
template <std::forward_iterator It, std::sentinel_for<It> End, std::movable T, class Op,
          class Transform = std::identity>
  requires std::convertible_to<std::invoke_result_t<Op&, T, T>, T> &&
           std::convertible_to<std::invoke_result_t<Transform&, std::iter_reference_t<It>>, T>
RUNNEL_PARKS RUNNEL_JOINS T parallel_reduce(It first, End last, T init, Op op, Transform transform = {},
                                            parallel_options options = {},
                                            source_location at = source_location::current()) {
  return detail::reduce_positions(options, at, std::move(first), std::move(last), std::move(init), op, transform);
}

}  // namespace runnel::inline RUNNEL_ABI
