// What values can be taken from, one after the other: a receiving end, a range, a function. The patterns read all of them
// through next(), which gives nullopt at the end and whenever it is asked after that.
#pragma once

#include <runnel/channel.hpp>
#include <runnel/go.hpp>

#include <concepts>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI::detail {

template <class S>
concept receivable = requires(const std::remove_cvref_t<S>& s) {
  { s.receive() } -> std::same_as<std::optional<typename std::remove_cvref_t<S>::value_type>>;
};

template <class R>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

/// A function that gives the next value, or nullopt at the end.
template <class F>
concept generator_function = std::invocable<std::decay_t<F>&> && is_optional<std::invoke_result_t<std::decay_t<F>&>>;

template <class R>
concept readable_range = !receivable<R> && std::ranges::input_range<std::remove_reference_t<R>>;

/// From a receiving end, which it owns; several may call next() where the end may be received from by several.
template <class End>
class end_source {
 public:
  using value_type = typename End::value_type;
  static constexpr bool shared = std::is_same_v<End, receive_channel<value_type>> || std::is_same_v<End, channel<value_type>>;
  explicit end_source(End end) : end_(std::move(end)) {}
  std::optional<value_type> next() { return end_.receive(); }

 private:
  End end_;
};

/// From a range: borrowed, copying its elements, where it was given by name; else owned, and moved from.
template <class R>
class range_source {
  using range = std::remove_reference_t<R>;
  static constexpr bool borrowed = std::is_lvalue_reference_v<R>;
  static constexpr bool moves = !borrowed && !std::ranges::view<range>;

 public:
  using value_type = std::ranges::range_value_t<range>;
  static constexpr bool shared = false;
  static_assert(moves || std::constructible_from<value_type, std::ranges::range_reference_t<range>>,
                "runnel: the elements of a range that is given by name are copied, and these cannot be: give it by std::move");
  explicit range_source(R&& r) : range_(hold(r)) {}

  std::optional<value_type> next() {
    this_fiber::checkpoint();
    if (!at_) at_.emplace(std::ranges::begin(get()));  // not before: until then this may be moved
    if (*at_ == std::ranges::end(get())) return std::nullopt;
    std::optional<value_type> v = [this]() -> std::optional<value_type> {
      if constexpr (moves) {
        return std::ranges::iter_move(*at_);
      } else {
        return std::optional<value_type>(**at_);
      }
    }();
    ++*at_;
    return v;
  }

 private:
  using held = std::conditional_t<borrowed, range*, range>;
  static held hold(std::remove_reference_t<R>& r) {
    if constexpr (borrowed) {
      return &r;
    } else {
      return std::move(r);
    }
  }
  range& get() noexcept {
    if constexpr (borrowed) {
      return *range_;
    } else {
      return range_;
    }
  }
  held range_;
  std::optional<std::ranges::iterator_t<range>> at_;
};

/// From a function, which is not called again once it has said that this is the end, or thrown.
template <class F>
class function_source {
 public:
  using value_type = typename std::invoke_result_t<F&>::value_type;
  static constexpr bool shared = false;
  explicit function_source(F f) : function_(std::move(f)) {}
  std::optional<value_type> next() {
    this_fiber::checkpoint();
    if (ended_) return std::nullopt;
    ended_ = true;
    auto v = function_();
    ended_ = !v;
    return v;
  }

 private:
  F function_;
  bool ended_ = false;
};

template <class S>
concept sourceable = receivable<S> || generator_function<S> || readable_range<S>;

template <class S>
auto make_source(S&& s) {
  static_assert(sourceable<S>,
                "runnel: a source is a receiving end, a stream, a range, or a function that returns std::optional");
  if constexpr (receivable<S>) {
    static_assert(std::constructible_from<std::remove_cvref_t<S>, S>,
                  "runnel: this receiving end cannot be copied: give it by std::move");
    return end_source<std::remove_cvref_t<S>>(std::forward<S>(s));
  } else if constexpr (generator_function<S>) {
    return function_source<std::decay_t<S>>(std::forward<S>(s));
  } else {
    return range_source<S>(std::forward<S>(s));
  }
}

template <class S>
using source_of = decltype(make_source(std::declval<S>()));
template <class S>
using source_value = typename source_of<S>::value_type;

}  // namespace runnel::inline RUNNEL_ABI::detail
