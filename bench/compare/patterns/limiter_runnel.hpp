// limiter_allow and limiter_deny of runnel: the same work as in limiter.go.
#pragma once

#include <runnel/patterns/rate_limiter.hpp>

#include "../program.hpp"

namespace bench {

/// A bucket that never runs dry: each call takes a token.
inline result limiter_allow() {
  const std::size_t n = scaled(20'000'000);
  runnel::rate_limiter limiter(runnel::rate::per_second(1e9), 1'000'000'000);
  std::size_t allowed = 0;
  const stopwatch time;
  for (std::size_t i = 0; i < n; ++i) allowed += limiter.allow();
  const double each = time.per(n);
  require(allowed == n, "a token was refused");
  return {each};
}

/// An empty one: each call is refused.
inline result limiter_deny() {
  const std::size_t n = scaled(20'000'000);
  runnel::rate_limiter limiter(runnel::rate::every(std::chrono::hours(1)), 1);
  static_cast<void>(limiter.allow());
  std::size_t allowed = 0;
  const stopwatch time;
  for (std::size_t i = 0; i < n; ++i) allowed += limiter.allow();
  const double each = time.per(n);
  require(allowed == 0, "a token out of nothing");
  return {each};
}

}  // namespace bench
