// The peer of deque_cases.hpp that is runnel.
#pragma once

#include <runnel/lockfree/work_stealing_deque.hpp>
#include <runnel/runnel.hpp>

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
  template <class F>
  static void together(unsigned n, F f) {
    runnel::with_task_group([&](runnel::task_group& group) {
      for (unsigned i = 0; i < n; ++i) group.go([&f, i] { f(i); });
    });
  }
};

}  // namespace bench::lockfree
