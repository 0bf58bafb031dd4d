// The cases of work-stealing deques: the same work for each peer.
//
// A peer is a type with a deque of std::size_t: push(v), and bool pop(v), bool steal(v), which take one out into v.
#pragma once

#include "families.hpp"

#include <atomic>

namespace bench::lockfree {

template <class Peer>
struct deque_cases {
  using deque = typename Peer::deque;

  /// The owner alone: a push and a pop, with a few below.
  static result own() {
    const std::size_t n = scaled(50'000'000);
    deque d;
    std::size_t sum = 0, v = 0;
    for (std::size_t i = 0; i < 4; ++i) d.push(i);
    const stopwatch time;
    for (std::size_t i = 0; i < n; ++i) {
      d.push(i);
      if (d.pop(v)) sum += v;
    }
    const double ns = time.per(n);
    require(sum == n * (n - 1) / 2, "the newest each time");
    return {ns};
  }
  /// A push and a steal, one after the other.
  static result stolen() {
    const std::size_t n = scaled(20'000'000);
    deque d;
    std::size_t sum = 0, v = 0;
    const stopwatch time;
    for (std::size_t i = 0; i < n; ++i) {
      d.push(i);
      if (d.steal(v)) sum += v;
    }
    const double ns = time.per(n);
    require(sum == n * (n - 1) / 2, "each once");
    return {ns};
  }
  /// An owner that pushes two and pops one, and a thief that takes what it can get; per element.
  static result contended() {
    const std::size_t n = scaled(10'000'000);
    deque d;
    std::atomic<std::size_t> left{n};
    std::atomic<std::size_t> sum{0};
    const stopwatch time;
    together(2, [&](unsigned who) {
      std::size_t mine = 0, v = 0;
      if (who == 0) {
        for (std::size_t i = 0; i < n; ++i) {
          d.push(i);
          if (i % 2 == 1 && d.pop(v)) mine += v, left.fetch_sub(1, std::memory_order_relaxed);
        }
        while (d.pop(v)) mine += v, left.fetch_sub(1, std::memory_order_relaxed);
      } else {
        while (left.load(std::memory_order_relaxed) != 0)
          if (d.steal(v)) mine += v, left.fetch_sub(1, std::memory_order_relaxed);
      }
      sum += mine;
    });
    const double ns = time.per(n);
    require(sum == n * (n - 1) / 2, "each once");
    return {ns};
  }

  static std::vector<one_case> all() {
    return {
        {"deque_own", "1", own},
        {"deque_stolen", "1", stolen},
        {"deque_contended", "2", contended},
    };
  }
};

}  // namespace bench::lockfree
