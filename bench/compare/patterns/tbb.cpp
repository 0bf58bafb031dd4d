// The patterns of oneTBB: the same work as in runnel.cpp.
#include "../program.hpp"
#include "fib.hpp"

#include <tbb/global_control.h>
#include <tbb/parallel_invoke.h>
#include <tbb/task_arena.h>

namespace {

long fib(int n) {
  if (n < 2) return n;
  long a = 0, b = 0;
  tbb::parallel_invoke([&] { a = fib(n - 1); }, [&] { b = fib(n - 2); });
  return a + b;
}
long fib_cut(int n) {
  if (n < bench::fib_cut) return bench::fib_alone(n);
  long a = 0, b = 0;
  tbb::parallel_invoke([&] { a = fib_cut(n - 1); }, [&] { b = fib_cut(n - 2); });
  return a + b;
}

constexpr bench::one_case cases[] = {
    {"fib30", "12", [] { return bench::fib_case(30, 2, fib); }},
    {"fib30_cut12", "12", [] { return bench::fib_case(30, bench::fib_cut, fib_cut); }},
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, "tbb", cases, [](unsigned workers, auto run_case) {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, workers);
    tbb::task_arena arena(static_cast<int>(workers));
    arena.execute(run_case);
  });
}
