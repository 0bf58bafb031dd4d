// fanout8 and pipeline3_cap64 of runnel: the same work as in pipeline.go, written as the guide shows users.
#pragma once

#include <runnel/patterns/fan_out.hpp>
#include <runnel/patterns/pipeline.hpp>
#include <runnel/runnel.hpp>

#include "../program.hpp"

#include <cstdint>
#include <optional>

namespace bench {

/// About 85 ns.
inline std::uint64_t some_work(std::uint64_t x) {
  for (int i = 0; i < 64; ++i) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    asm volatile("" : "+r"(x));
  }
  return x;
}

/// The numbers below n, one after the other.
inline auto numbers(std::size_t n) {
  return [i = std::size_t{0}, n]() mutable { return i < n ? std::optional(i++) : std::nullopt; };
}

/// 8 workers between a source and a sink; per item.
inline result fanout8() {
  const std::size_t n = scaled(1'000'000);
  std::uint64_t sum = 0;
  const stopwatch time;
  for (const std::uint64_t v : runnel::fan_out(numbers(n), 8, some_work, {.buffer = 64})) sum += v;
  keep(sum);
  return {time.per(n)};
}

/// A source, three stages and a sink, each on a fiber of its own, over buffers of 64; per item.
inline result pipeline3_cap64() {
  const std::size_t n = scaled(1'000'000);
  std::uint64_t sum = 0;
  const auto plus_one = [](std::size_t v) { return v + 1; };
  const stopwatch time;
  auto line = runnel::from(numbers(n), {.buffer = 64})
            | runnel::map(plus_one, {.buffer = 64})
            | runnel::map(plus_one, {.buffer = 64})
            | runnel::map(plus_one, {.buffer = 64});
  for (const std::size_t v : line) sum += v;
  const double ns = time.per(n);
  require(sum == n * (n - 1) / 2 + 3 * n, "the pipeline's sum");
  return {ns};
}

}  // namespace bench
