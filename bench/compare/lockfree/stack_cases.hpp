// The cases of stacks: the same work for each peer.
//
// A peer is a type with a stack of std::uint64_t: push(v), and bool pop(v), which takes the newest out into v.
#pragma once

#include "families.hpp"

#include <atomic>
#include <cstdint>

namespace bench::lockfree {

template <class Peer>
struct stack_cases {
  using stack = typename Peer::stack;

  /// Each pushes and pops in turns, on one stack; per pair. So many each time.
  static result turns(std::size_t at_once) {
    const std::size_t each = scaled(20'000'000) / workers / at_once;
    stack s;
    std::atomic<std::uint64_t> sum{0};
    const stopwatch time;
    together(workers, [&](unsigned who) {
      std::uint64_t mine = 0, v = 0;
      for (std::size_t i = 0; i < each; ++i) {
        for (std::size_t k = 0; k < at_once; ++k) s.push(i * at_once + k + who);
        for (std::size_t k = 0; k < at_once; ++k)
          if (s.pop(v)) mine += v;
      }
      sum += mine;
    });
    const std::uint64_t n = each * at_once;
    const double ns = time.per(n * workers);
    std::uint64_t v = 0;
    require(!s.pop(v) && sum == workers * (n * (n - 1) / 2) + n * (workers * (workers - 1) / 2), "each once");
    return {ns};
  }

  /// Half of those who take part push, the others pop what they can get; per element.
  static result one_way() {
    const std::size_t n = scaled(5'000'000);
    stack s;
    std::atomic<std::uint64_t> sum{0};
    const stopwatch time;
    together(2, [&](unsigned who) {
      std::uint64_t mine = 0, v = 0;
      for (std::size_t i = 0; i < n;) {
        if (who == 0) {
          s.push(i++);
        } else if (s.pop(v)) {
          mine += v, ++i;
        }
      }
      sum += mine;
    });
    const double ns = time.per(n);
    require(sum == n * (n - 1) / 2, "each once");
    return {ns};
  }

  static std::vector<one_case> all() {
    return {
        {"stack_turns", "12", [] { return turns(1); }},
        {"stack_turns_100", "12", [] { return turns(100); }},
        {"stack_one_way", "2", one_way},
    };
  }
};

}  // namespace bench::lockfree
