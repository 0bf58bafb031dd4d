// Fibonacci numbers by fork and join: a task for each number that is not computed alone.
#pragma once

#include "../program.hpp"

namespace bench {

inline constexpr int fib_cut = 12;  ///< below it a number is computed alone

inline long fib_alone(int n) { return n < 2 ? n : fib_alone(n - 1) + fib_alone(n - 2); }

/// How many numbers are computed for fib(n) that are tasks, when those below `cut` (at least 2) are not.
inline std::size_t fib_tasks(int n, int cut) { return n < cut ? 1 : 1 + fib_tasks(n - 1, cut) + fib_tasks(n - 2, cut); }

inline result fib_case(int n, int cut, long (*fib)(int)) {
  const std::size_t rounds = scaled(cut <= 2 ? 10 : 200);
  const std::size_t tasks = rounds * fib_tasks(n, cut < 2 ? 2 : cut);
  require(fib(20) == 6765, "the number");
  const stopwatch time;
  for (std::size_t i = 0; i < rounds; ++i) require(fib(n) == 832040, "the number");
  return {time.per(tasks)};
}

}  // namespace bench
