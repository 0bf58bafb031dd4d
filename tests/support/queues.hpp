// The lock-free queues as one family: what they hold, how many may be on each side, and one way to call them.
#pragma once

#include <runnel/lockfree/mpmc_queue.hpp>
#include <runnel/lockfree/mpsc_queue.hpp>
#include <runnel/lockfree/spsc_queue.hpp>

#include <memory>
#include <utility>

namespace runnel::test {

struct many_to_many {
  template <class T>
  using queue = lockfree::mpmc_queue<T>;
  static constexpr int producers = 4, consumers = 4;
  static constexpr bool bounded = true;
};
struct one_to_one {
  template <class T>
  using queue = lockfree::spsc_queue<T>;
  static constexpr int producers = 1, consumers = 1;
  static constexpr bool bounded = true;
};
struct many_to_one {
  template <class T>
  using queue = lockfree::mpsc_queue<T>;
  static constexpr int producers = 4, consumers = 1;
  static constexpr bool bounded = false;
};

/// Calls f(flavour) for each bounded one, or for each.
template <class F>
void with_each_bounded_queue(F f) {
  f(many_to_many());
  f(one_to_one());
}
template <class F>
void with_each_queue(F f) {
  with_each_bounded_queue(f);
  f(many_to_one());
}

/// One with that capacity where it has one.
template <class T, class Flavour>
std::unique_ptr<typename Flavour::template queue<T>> make_queue(Flavour, std::size_t capacity) {
  using queue = typename Flavour::template queue<T>;
  if constexpr (Flavour::bounded) {
    return std::make_unique<queue>(capacity);
  } else {
    return std::make_unique<queue>();
  }
}

/// Whether it went in.
template <class Queue, class T>
bool try_push(Queue& q, T&& v) {
  if constexpr (requires { q.try_push(std::forward<T>(v)); }) {
    return q.try_push(std::forward<T>(v));
  } else {
    q.push(std::forward<T>(v));
    return true;
  }
}
template <class Queue, class... A>
bool try_emplace(Queue& q, A&&... args) {
  if constexpr (requires { q.try_emplace(std::forward<A>(args)...); }) {
    return q.try_emplace(std::forward<A>(args)...);
  } else {
    q.emplace(std::forward<A>(args)...);
    return true;
  }
}

}  // namespace runnel::test
