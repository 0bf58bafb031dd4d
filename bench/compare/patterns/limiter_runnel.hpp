// The cases limiter_allow and limiter_deny of runnel: the same work as in limiter.go.
//
// To be included in the scenario's runnel.cpp; the cases are rows of its table.
#pragma once

#include <runnel/patterns/rate_limiter.hpp>

#include "../program.hpp"

namespace limiter_cases {

/// A bucket that never runs dry: each call takes a token.
inline bench::result allow() {
  const std::size_t n = bench::scaled(20'000'000);
  runnel::rate_limiter limiter(runnel::rate::per_second(1e9), 1'000'000'000);
  std::size_t allowed = 0;
  const bench::stopwatch time;
  for (std::size_t i = 0; i < n; ++i) allowed += limiter.allow();
  const double each = time.per(n);
  bench::require(allowed == n, "a token was refused");
  return {each};
}

/// An empty one: each call is refused.
inline bench::result deny() {
  const std::size_t n = bench::scaled(20'000'000);
  runnel::rate_limiter limiter(runnel::rate::every(std::chrono::hours(1)), 1);
  static_cast<void>(limiter.allow());
  std::size_t allowed = 0;
  const bench::stopwatch time;
  for (std::size_t i = 0; i < n; ++i) allowed += limiter.allow();
  const double each = time.per(n);
  bench::require(allowed == 0, "a token out of nothing");
  return {each};
}

inline constexpr bench::one_case table[] = {
    {"limiter_allow", "1", &allow},
    {"limiter_deny", "1", &deny},
};

}  // namespace limiter_cases
