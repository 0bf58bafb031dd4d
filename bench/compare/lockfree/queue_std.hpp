#pragma once

#include <cstdint>
#include <deque>
#include <mutex>

namespace bench::lockfree {

/// A std::deque under a std::mutex.
struct std_queues {
  template <bool Bounded>
  struct locked {
    explicit locked(std::size_t n) : capacity(n) {}
    bool push(std::uint64_t v) {
      const std::scoped_lock hold(lock);
      if (Bounded && q.size() == capacity) return false;
      q.push_back(v);
      return true;
    }
    bool pop(std::uint64_t& v) {
      const std::scoped_lock hold(lock);
      if (q.empty()) return false;
      v = q.front();
      q.pop_front();
      return true;
    }
    const std::size_t capacity;
    std::mutex lock;
    std::deque<std::uint64_t> q;
    static constexpr const char* remark = "";
  };
  using mpmc = locked<true>;
  using spsc = locked<true>;
  using mpsc = locked<false>;
};

}  // namespace bench::lockfree
