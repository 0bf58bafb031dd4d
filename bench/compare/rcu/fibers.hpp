// For runnel's peers: fibers, and a worker for each party.
#pragma once

#include <runnel/runnel.hpp>

#include "cases.hpp"

namespace bench::rcu {

template <class F>
void on_fibers(unsigned n, F f) {
  runnel::with_task_group([&](runnel::task_group& group) {
    for (unsigned i = 0; i < n; ++i) group.go([&f, i] { f(i); });
  });
}

template <class Peer>
int run_on_fibers(int argc, char** argv, const char* name) {
  return cases<Peer>::run(argc, argv, name,
                          [](unsigned workers, auto run_case) { runnel::run({.workers = workers + 1}, run_case); });
}

}  // namespace bench::rcu
