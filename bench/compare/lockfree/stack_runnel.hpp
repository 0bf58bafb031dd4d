// The peer of stack_cases.hpp that is runnel.
#pragma once

#include <runnel/lockfree/stack.hpp>

#include "stack_cases.hpp"

namespace bench::lockfree {

struct runnel_stack {
  struct stack {
    void push(std::uint64_t v) { s.push(v); }
    bool pop(std::uint64_t& v) { return s.try_pop(v); }
    runnel::lockfree::stack<std::uint64_t> s;
  };
};

}  // namespace bench::lockfree
