// The peer of stack_cases.hpp that is Boost.Lockfree. Its nodes come from a list of free ones that never shrinks.
#pragma once

#include "stack_cases.hpp"

#include <boost/lockfree/stack.hpp>

namespace bench::lockfree {

struct boost_stack {
  struct stack {
    void push(std::uint64_t v) { s.push(v); }
    bool pop(std::uint64_t& v) { return s.pop(v); }
    boost::lockfree::stack<std::uint64_t> s{128};
  };
};

}  // namespace bench::lockfree
