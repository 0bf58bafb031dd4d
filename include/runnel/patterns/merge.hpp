// merge: several sources as one stream.
//
//   auto lines = runnel::merge(tail("a.log"), tail("b.log"));
//
// Use when: values of several producers meet, and their order does not matter across them (fan-in). When not: it
// depends on the case what is to be done with a value; see select.
// Guarantees: everything of every source, once, and what came from one source in its order. Ends when all have ended;
// the first that fails cancels the others, and its exception comes when what waits has been received.
// Blocking, errors: as a stream. The sources belong to the stream and end with it.
// Cost: a fiber for each source, and a message of a channel for each value.
#pragma once

#include <runnel/detail/source.hpp>
#include <runnel/patterns/stream.hpp>

namespace runnel::inline RUNNEL_ABI {

namespace detail {

/// Sends all that a source has.
template <class Source>
struct pump {
  Source source;
  template <class End>
  void operator()(End& out) {
    while (auto v = source.next()) out.send(std::move(*v));
  }
};

template <class R>
concept range_of_ends = readable_range<R> && receivable<std::ranges::range_value_t<std::remove_reference_t<R>>>;

}  // namespace detail

/// The sources are receiving ends, streams, ranges or functions that return std::optional, of one type of value.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
template <detail::sourceable First, detail::sourceable... More>
  requires(!detail::range_of_ends<First>)
RUNNEL_SPAWNS auto merge(stream_options options, First&& first, More&&... more) {
  using T = detail::source_value<First>;
  static_assert((std::same_as<T, detail::source_value<More>> && ...), "runnel::merge: sources of one type of value");
  auto ends = make_channel<T>(options.buffer);
  auto producers = std::make_shared<detail::stream_core>(options.name);
  const auto add = [&](auto source) { producers->produce(ends.tx, detail::pump<decltype(source)>{std::move(source)}); };
  add(detail::make_source(std::forward<First>(first)));
  (add(detail::make_source(std::forward<More>(more))), ...);
  return stream<T>(std::move(ends.rx), std::move(producers));
}
template <detail::sourceable First, detail::sourceable... More>
  requires(!detail::range_of_ends<First>)
RUNNEL_SPAWNS auto merge(First&& first, More&&... more) {
  return merge(stream_options{}, std::forward<First>(first), std::forward<More>(more)...);
}
/// The same for a range of receiving ends or streams, which are copied where it was given by name, else moved from; of
/// none: a stream that has ended.
template <detail::range_of_ends R>
RUNNEL_SPAWNS auto merge(R&& sources, stream_options options = {}) {
  using Source = std::ranges::range_value_t<std::remove_reference_t<R>>;
  constexpr bool moves = !std::is_lvalue_reference_v<R> && !std::ranges::view<std::remove_reference_t<R>>;
  static_assert(moves || std::constructible_from<Source, std::ranges::range_reference_t<std::remove_reference_t<R>>>,
                "runnel::merge: these sources cannot be copied: give what holds them by std::move");
  using T = detail::source_value<Source>;
  auto ends = make_channel<T>(options.buffer);
  auto producers = std::make_shared<detail::stream_core>(options.name);
  const auto add = [&](Source s) {
    producers->produce(ends.tx, detail::pump<detail::source_of<Source>>{detail::make_source(std::move(s))});
  };
  for (auto&& each : sources) {
    if constexpr (moves) {
      add(std::move(each));
    } else {
      add(std::forward<decltype(each)>(each));
    }
  }
  return stream<T>(std::move(ends.rx), std::move(producers));
}

}  // namespace runnel::inline RUNNEL_ABI
