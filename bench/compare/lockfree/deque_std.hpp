// The peer of deque_cases.hpp that is a std::deque under a std::mutex.
#pragma once

#include "deque_cases.hpp"

#include <deque>
#include <mutex>
#include <thread>

namespace bench::lockfree {

struct std_deque {
  struct deque {
    void push(std::size_t v) {
      const std::scoped_lock lock(m);
      d.push_back(v);
    }
    bool pop(std::size_t& v) {
      const std::scoped_lock lock(m);
      if (d.empty()) return false;
      v = d.back();
      d.pop_back();
      return true;
    }
    bool steal(std::size_t& v) {
      const std::scoped_lock lock(m);
      if (d.empty()) return false;
      v = d.front();
      d.pop_front();
      return true;
    }
    std::mutex m;
    std::deque<std::size_t> d;
  };
};

}  // namespace bench::lockfree
