// fan_out: one source, several workers, one stream of what they make of it.
//
//   for (auto& word_count : runnel::fan_out(files, 8, count_words)) ...  // 8 files at a time
//
// Use when: each value costs time or waits for something, and at most so many may be worked on at once. When not:
// results in the order of the source; see pipeline's map with workers. Nothing comes out of it; see a task_group with a
// limit.
// Guarantees: each value is worked on once, by one of the workers; results come in the order in which they are ready.
// At most `workers` are in f, at most `buffer` results wait: who does not read stops them. The first failure cancels
// the others, and its exception comes when what waits has been received.
// Thread-safety: f is called by several at once. The source is asked by one at a time.
// Blocking, errors: as a stream. misuse for no workers.
// Cost: a fiber for each worker; for each value a short lock where the source is not a channel for several, and a
// message.
// Source: Go's fan-out and fan-in pattern (go.dev/blog/pipelines), without the goroutines that stay when nobody reads.
#pragma once

#include <runnel/detail/source.hpp>
#include <runnel/patterns/stream.hpp>

#include <functional>
#include <mutex>

namespace runnel::inline RUNNEL_ABI {

namespace detail {

/// What the workers share.
template <class Source, class F>
struct fan_work {
  Source source;
  F function;
  mutex turn;  ///< held while the source is asked, which may wait

  std::optional<typename Source::value_type> next() {
    if constexpr (Source::shared) {
      return source.next();
    } else {
      const std::lock_guard mine(turn);
      return source.next();
    }
  }
  template <class End>
  void run(End& out) {
    while (auto v = next()) out.send(std::invoke(function, std::move(*v)));
  }
};

}  // namespace detail

/// The stream of f(value) for each value of the source: a receiving end, a stream, a range, or a function that returns
/// std::optional.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
template <detail::sourceable S, class F>
RUNNEL_SPAWNS auto fan_out(S&& source, std::size_t workers, F&& f, stream_options options = {}) {
  static_assert(std::invocable<std::decay_t<F>&, detail::source_value<S>>,
                "runnel::fan_out: f cannot be called with the values of the source");
  using work = detail::fan_work<detail::source_of<S>, std::decay_t<F>>;
  using result = std::invoke_result_t<std::decay_t<F>&, detail::source_value<S>>;
  static_assert(!std::is_void_v<result>,
                "runnel::fan_out: f returns what the stream is to bring; for none see task_group");
  using T = std::decay_t<result>;
  if (workers == 0) detail::throw_misuse("runnel::fan_out: no workers would never begin: give 1 or more");
  auto shared = std::shared_ptr<work>(new work{detail::make_source(std::forward<S>(source)), std::forward<F>(f), {}});
  auto ends = make_channel<T>(options.buffer);
  auto producers = std::make_shared<detail::stream_core>(options.name);
  for (std::size_t i = 0; i < workers; ++i) producers->produce(ends.tx, [shared](auto& out) { shared->run(out); });
  return stream<T>(std::move(ends.rx), std::move(producers));
}

}  // namespace runnel::inline RUNNEL_ABI
