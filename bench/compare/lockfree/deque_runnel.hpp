// The peer of deque_cases.hpp that is runnel.
#pragma once

#include <runnel/lockfree/work_stealing_deque.hpp>

#include "deque_cases.hpp"

namespace bench::lockfree {

struct runnel_deque {
  struct deque {
    void push(std::size_t v) { d.push(v); }
    bool pop(std::size_t& v) { return take(d.try_pop(), v); }
    bool steal(std::size_t& v) { return take(d.try_steal(), v); }
    static bool take(std::optional<std::size_t> from, std::size_t& v) {
      if (from) v = *from;
      return from.has_value();
    }
    runnel::lockfree::work_stealing_deque<std::size_t> d;
  };
};

}  // namespace bench::lockfree
