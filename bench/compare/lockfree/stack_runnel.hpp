// The peer of stack_cases.hpp that is runnel.
#pragma once

#include <runnel/lockfree/stack.hpp>
#include <runnel/runnel.hpp>

#include "stack_cases.hpp"

namespace bench::lockfree {

struct runnel_stack {
  struct stack {
    void push(std::uint64_t v) { s.push(v); }
    bool pop(std::uint64_t& v) { return s.try_pop(v); }
    runnel::lockfree::stack<std::uint64_t> s;
  };
  template <class F>
  static void together(unsigned n, F f) {
    runnel::with_task_group([&](runnel::task_group& group) {
      for (unsigned i = 0; i < n; ++i) group.go([&f, i] { f(i); });
    });
  }
};

}  // namespace bench::lockfree
