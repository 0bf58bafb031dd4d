// The cases of queues. A peer has up to three types: mpmc (bounded), spsc (bounded) and mpsc (without a bound), made
// from a capacity, with push(v) and pop(v) that say whether they did; `remark` says where a peer's type is of another
// kind.
#pragma once

#include "families.hpp"

#include <atomic>
#include <cstdint>
#include <memory>

namespace bench::lockfree {

template <class Peer>
struct queue_cases {
  static constexpr std::size_t capacity = 1024;

  /// Each of `workers` threads pushes one and then pops one: nanoseconds for both.
  template <class Queue>
  static result pairs() {
    const std::size_t each = scaled(20'000'000) / workers;
    const auto q = std::make_unique<Queue>(capacity);
    const stopwatch time;
    together(workers, [&](unsigned) {
      for (std::size_t i = 0; i < each; ++i) {
        until([&] { return q->push(i); });
        std::uint64_t v = 0;
        until([&] { return q->pop(v); });
        keep(v);
      }
    });
    return {time.per(each * workers), Queue::remark};
  }

  /// So many threads on each side; nanoseconds for an element.
  template <class Queue>
  static result stream(unsigned producers, unsigned consumers) {
    const std::size_t total = scaled(8'000'000) / producers * producers;
    const auto q = std::make_unique<Queue>(capacity);
    std::atomic<std::uint64_t> sum{0}, left{total};
    const stopwatch time;
    together(producers + consumers, [&](unsigned who) {
      if (who < producers) {
        for (std::size_t i = who; i < total; i += producers) until([&] { return q->push(i); });
        return;
      }
      std::uint64_t mine = 0, v = 0;
      const std::size_t share = total / consumers + (who == producers ? total % consumers : 0);
      for (std::size_t i = 0; i < share; ++i) {
        until([&] { return q->pop(v); });
        mine += v;
      }
      sum += mine;
    });
    const double ns = time.per(total);
    require(sum == total * (total - 1) / 2, "each element once");
    return {ns, Queue::remark};
  }

  /// Bytes for each of a million elements that are in it; not where a bound of that size is refused earlier (`rough`).
  template <class Queue>
  static result bytes() {
    const std::size_t n = scaled(1'000'000);
    const double before = resident_bytes();
    const auto q = std::make_unique<Queue>(n);
    for (std::size_t i = 0; i < n; ++i) require(q->push(i), "room");
    return {(resident_bytes() - before) / static_cast<double>(n), std::string("bytes ") + Queue::remark};
  }

  static std::vector<one_case> all() {
    std::vector<one_case> cases;
    const auto add = [&](std::initializer_list<one_case> more) {
      for (const one_case& c : more) cases.push_back(c);
    };
    if constexpr (requires { typename Peer::mpmc; }) {
      using q = typename Peer::mpmc;
      add({{"mpmc_pairs", "128", pairs<q>},
           {"mpmc_1x1", "2", [] { return stream<q>(1, 1); }},
           {"mpmc_4x4", "8", [] { return stream<q>(4, 4); }}});
      if constexpr (!requires { requires q::rough; }) add({{"mem_mpmc", "1", bytes<q>}});
    }
    if constexpr (requires { typename Peer::spsc; }) {
      using q = typename Peer::spsc;
      add({{"spsc_pairs", "1", pairs<q>},
           {"spsc_1x1", "2", [] { return stream<q>(1, 1); }},
           {"mem_spsc", "1", bytes<q>}});
    }
    if constexpr (requires { typename Peer::mpsc; }) {
      using q = typename Peer::mpsc;
      add({{"mpsc_pairs", "1", pairs<q>},
           {"mpsc_1x1", "2", [] { return stream<q>(1, 1); }},
           {"mpsc_7x1", "8", [] { return stream<q>(7, 1); }},
           {"mem_mpsc", "1", bytes<q>}});
    }
    return cases;
  }
};

}  // namespace bench::lockfree
