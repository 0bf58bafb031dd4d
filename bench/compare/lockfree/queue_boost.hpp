#pragma once

#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include <cstdint>

namespace bench::lockfree {

struct boost_queues {
  struct mpmc {
    explicit mpmc(std::size_t n) : q(n) {}
    bool push(std::uint64_t v) { return q.bounded_push(v); }
    bool pop(std::uint64_t& v) { return q.pop(v); }
    boost::lockfree::queue<std::uint64_t> q;
    static constexpr const char* remark = "";
  };
  struct spsc {
    explicit spsc(std::size_t n) : q(n) {}
    bool push(std::uint64_t v) { return q.push(v); }
    bool pop(std::uint64_t& v) { return q.pop(v); }
    boost::lockfree::spsc_queue<std::uint64_t> q;
    static constexpr const char* remark = "";
  };
  struct mpsc {
    explicit mpsc(std::size_t) : q(128) {}
    bool push(std::uint64_t v) { return q.push(v); }
    bool pop(std::uint64_t& v) { return q.pop(v); }
    boost::lockfree::queue<std::uint64_t> q;
    static constexpr const char* remark = "many consumers";
  };
};

}  // namespace bench::lockfree
