// The peer of stack_cases.hpp that is the standard library: a mutex around a vector.
#pragma once

#include "stack_cases.hpp"

#include <mutex>
#include <vector>

namespace bench::lockfree {

struct std_stack {
  struct stack {
    void push(std::uint64_t v) {
      const std::scoped_lock hold(lock);
      all.push_back(v);
    }
    bool pop(std::uint64_t& v) {
      const std::scoped_lock hold(lock);
      if (all.empty()) return false;
      v = all.back();
      all.pop_back();
      return true;
    }
    std::mutex lock;
    std::vector<std::uint64_t> all;
  };
};

}  // namespace bench::lockfree
