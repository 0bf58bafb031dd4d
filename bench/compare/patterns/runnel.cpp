// The patterns of runnel: the same work as in go.go, written as the guide shows users.
#include <runnel/patterns/parallel.hpp>
#include <runnel/runnel.hpp>

#include "../program.hpp"
#include "fib.hpp"
#include "limiter_runnel.hpp"
#include "pipeline_runnel.hpp"

namespace {

long fib(int n) {
  if (n < 2) return n;
  const auto [a, b] = runnel::parallel_invoke([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
  return a + b;
}
long fib_cut(int n) {
  if (n < bench::fib_cut) return bench::fib_alone(n);
  const auto [a, b] = runnel::parallel_invoke([n] { return fib_cut(n - 1); }, [n] { return fib_cut(n - 2); });
  return a + b;
}

constexpr bench::one_case cases[] = {
    {"fib30", "12", [] { return bench::fib_case(30, 2, fib); }},
    {"fib30_cut12", "12", [] { return bench::fib_case(30, bench::fib_cut, fib_cut); }},
    {"fanout8", "12", bench::fanout8},
    {"pipeline3_cap64", "12", bench::pipeline3_cap64},
    {"limiter_allow", "1", bench::limiter_allow},
    {"limiter_deny", "1", bench::limiter_deny},
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, "runnel", cases, [](unsigned workers, auto run_case) {
    runnel::run({.workers = workers}, run_case);
  });
}
