#pragma once

#include <runnel/lockfree/mpmc_queue.hpp>
#include <runnel/lockfree/mpsc_queue.hpp>
#include <runnel/lockfree/spsc_queue.hpp>

#include <cstdint>

namespace bench::lockfree {

struct runnel_queues {
  template <class Queue>
  struct bounded {
    explicit bounded(std::size_t n) : q(n) {}
    bool push(std::uint64_t v) { return q.try_push(v); }
    bool pop(std::uint64_t& v) { return q.try_pop(v); }
    Queue q;
    static constexpr const char* remark = "";
  };
  using mpmc = bounded<runnel::lockfree::mpmc_queue<std::uint64_t>>;
  using spsc = bounded<runnel::lockfree::spsc_queue<std::uint64_t>>;
  struct mpsc {
    explicit mpsc(std::size_t) {}
    bool push(std::uint64_t v) { return q.push(v), true; }
    bool pop(std::uint64_t& v) { return q.try_pop(v); }
    runnel::lockfree::mpsc_queue<std::uint64_t> q;
    static constexpr const char* remark = "";
  };
};

}  // namespace bench::lockfree
