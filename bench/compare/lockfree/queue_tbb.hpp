#pragma once

#include <tbb/concurrent_queue.h>

#include <cstdint>

namespace bench::lockfree {

struct tbb_queues {
  struct mpmc {
    explicit mpmc(std::size_t n) { q.set_capacity(static_cast<std::ptrdiff_t>(n)); }
    bool push(std::uint64_t v) { return q.try_push(v); }
    bool pop(std::uint64_t& v) { return q.try_pop(v); }
    tbb::concurrent_bounded_queue<std::uint64_t> q;
    static constexpr const char* remark = "can wait";
  };
  struct mpsc {
    explicit mpsc(std::size_t) {}
    bool push(std::uint64_t v) { return q.push(v), true; }
    bool pop(std::uint64_t& v) { return q.try_pop(v); }
    tbb::concurrent_queue<std::uint64_t> q;
    static constexpr const char* remark = "many consumers";
  };
};

}  // namespace bench::lockfree
