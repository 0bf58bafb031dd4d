// Fibers that are handed about, each of which must be taken once, for the models of queues.
#pragma once

#include "checker/model.hpp"

#include "sched/agent.hpp"

#include <array>

namespace model {

/// Fibers with something plain that who puts them writes, and who takes them reads.
template <int N>
struct given_fibers {
  std::array<runnel::sched::fiber, N> all;
  std::array<int, N> given{};
  std::array<int, N> taken{};

  runnel::sched::fiber* give(int i) {
    given[static_cast<std::size_t>(i)] = i + 1;
    return &all[static_cast<std::size_t>(i)];
  }
  void take(runnel::sched::fiber* f) {
    if (!f) return;
    const auto i = static_cast<std::size_t>(f - all.data());
    check(i < N, "not a fiber of ours");
    check(given[i] == static_cast<int>(i) + 1, "taken before it was given");
    check(++taken[i] == 1, "taken twice");
  }
  template <class Queue>
  void drain(Queue& q) {
    while (runnel::sched::fiber* f = q.pop()) take(f);
  }
  /// At the end, on the thread that has joined the others.
  void check_all(int put) {
    for (int i = 0; i < put; ++i) check(taken[static_cast<std::size_t>(i)] == 1, "lost");
  }
};

}  // namespace model
