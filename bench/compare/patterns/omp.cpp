// Fork and join by OpenMP's tasks: the same work as in runnel.cpp.
#include "../program.hpp"
#include "fib.hpp"

namespace {

long fib(int n) {
  if (n < 2) return n;
  long a = 0, b = 0;
#pragma omp task shared(a) firstprivate(n)
  a = fib(n - 1);
  b = fib(n - 2);
#pragma omp taskwait
  return a + b;
}
long fib_cut(int n) {
  if (n < bench::fib_cut) return bench::fib_alone(n);
  long a = 0, b = 0;
#pragma omp task shared(a) firstprivate(n)
  a = fib_cut(n - 1);
  b = fib_cut(n - 2);
#pragma omp taskwait
  return a + b;
}

constexpr bench::one_case cases[] = {
    {"fib30", "12", [] { return bench::fib_case(30, 2, fib); }},
    {"fib30_cut12", "12", [] { return bench::fib_case(30, bench::fib_cut, fib_cut); }},
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, "omp", cases, [](unsigned workers, auto run_case) {
#pragma omp parallel num_threads(workers)
#pragma omp single
    run_case();
  });
}
