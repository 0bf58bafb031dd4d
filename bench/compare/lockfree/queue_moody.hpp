#pragma once

#include <concurrentqueue/concurrentqueue.h>

#include <cstdint>

namespace bench::lockfree {

struct moody_queues {
  template <bool Bounded>
  struct queue {
    explicit queue(std::size_t n) : q(n) {}
    bool push(std::uint64_t v) { return Bounded ? q.try_enqueue(v) : q.enqueue(v); }
    bool pop(std::uint64_t& v) { return q.try_dequeue(v); }
    moodycamel::ConcurrentQueue<std::uint64_t> q;
    static constexpr bool rough = Bounded;
    static constexpr const char* remark = "no order between producers; its bound is a rough one";
  };
  using mpmc = queue<true>;
  using mpsc = queue<false>;
};

}  // namespace bench::lockfree
