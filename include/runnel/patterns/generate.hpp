// generate: a function that sends values, run beside whoever receives them.
//
//   auto squares = runnel::generate<int>([](auto& out) { for (int i = 0;; ++i) out.send(i * i); });
//   for (int v : squares) if (v > 1000) break;
//
// Use when: values come from code with a state of its own: a parser, a walk over a tree, a page after page. When not:
// they stand in a range; every pattern reads ranges directly.
// Guarantees, blocking, errors: as a stream. The function ends when it returns, when it throws, and at its next send
// once the stream has gone.
// Cost: a fiber, and a message of a one-to-one channel for each value.
#pragma once

#include <runnel/patterns/stream.hpp>

#include <functional>

namespace runnel::inline RUNNEL_ABI {

/// Runs f(out) on a fiber of its own; what it sends to `out`, a send_channel<T, spsc>&, is received from the stream.
/// Throws misuse for a buffer of 0.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
template <class T, class F>
RUNNEL_SPAWNS stream<T, spsc> generate(F&& f, stream_options options = {}) {
  static_assert(std::invocable<std::decay_t<F>&, send_channel<T, spsc>&>,
                "runnel::generate: the function is called with a send_channel<T, runnel::spsc>&");
  if (options.buffer == 0) detail::throw_misuse("runnel::generate: a buffer of 0 holds nothing: give 1 or more");
  auto ends = make_channel<T, spsc>(options.buffer);
  auto producers = std::make_shared<detail::stream_core>(options.name);
  producers->produce(std::move(ends.tx), [body = std::decay_t<F>(std::forward<F>(f))](auto& out) mutable {
    std::invoke(body, out);
  });
  return stream<T, spsc>(std::move(ends.rx), std::move(producers));
}

}  // namespace runnel::inline RUNNEL_ABI
