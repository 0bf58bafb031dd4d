// tee: one source, several streams, each of which brings every value.
//
//   auto [to_disk, to_screen] = runnel::tee(lines);
//
// Use when: independent consumers need the same values. When not: each value is for one of them; see fan_out, or let
// them receive from one channel.
// Guarantees: every stream brings every value, in order; the slowest one slows the source down, `buffer` values after
// its last. One that ends early is left out from then on; the source ends with the last. When the source fails, every
// stream brings what came before and then the exception.
// Thread-safety: each stream may be read by another fiber or thread.
// Blocking, errors: as a stream. misuse for no streams and for a buffer of 0.
// Cost: a fiber, and for each stream a copy and a message of a one-to-one channel; the last one gets the value itself.
#pragma once

#include <runnel/detail/source.hpp>
#include <runnel/patterns/stream.hpp>

#include <array>
#include <vector>

namespace runnel::inline RUNNEL_ABI {

namespace detail {

template <class Source>
struct tee_work {
  using T = typename Source::value_type;
  Source source;
  std::vector<send_channel<T, spsc>> branches;

  void operator()() {
    while (auto v = source.next()) {
      for (std::size_t i = branches.size(); i-- > 0;) {
        const bool open = i == 0 ? send(branches[i], std::move(*v)) : send(branches[i], T(*v));
        if (!open) branches.erase(branches.begin() + static_cast<std::ptrdiff_t>(i));
      }
      if (branches.empty()) return;
    }
  }
  static bool send(send_channel<T, spsc>& out, T&& v) {
    try {
      out.send(std::move(v));
      return true;
    } catch (const channel_closed&) {
      return false;
    }
  }
};

}  // namespace detail

/// `count` streams of what the source brings: a receiving end, a stream, a range, or a function that returns
/// std::optional.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
template <detail::sourceable S>
RUNNEL_SPAWNS auto tee(S&& source, std::size_t count, stream_options options = {}) {
  using work = detail::tee_work<detail::source_of<S>>;
  using T = typename work::T;
  static_assert(std::copy_constructible<T>, "runnel::tee: every stream gets a copy, and these values cannot be copied");
  if (count == 0) detail::throw_misuse("runnel::tee: no streams would lose every value: give 1 or more");
  if (options.buffer == 0) detail::throw_misuse("runnel::tee: a buffer of 0 holds nothing: give 1 or more");
  auto producers = std::make_shared<detail::stream_core>(options.name);
  work w{detail::make_source(std::forward<S>(source)), {}};
  std::vector<stream<T, spsc>> streams;
  for (std::size_t i = 0; i < count; ++i) {
    auto ends = make_channel<T, spsc>(options.buffer);
    w.branches.push_back(std::move(ends.tx));
    streams.emplace_back(std::move(ends.rx), producers);
  }
  producers->start(std::move(w));
  return streams;
}

/// The same for a number that is known when it is compiled: auto [a, b] = tee(source).
template <std::size_t Count = 2, detail::sourceable S>
RUNNEL_SPAWNS auto tee(S&& source, stream_options options = {}) {
  auto streams = tee(std::forward<S>(source), Count, options);
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return std::array{std::move(streams[I])...};
  }(std::make_index_sequence<Count>());
}

}  // namespace runnel::inline RUNNEL_ABI
