// The cases of shared data: the same work for each peer, which gives the containers.
//
// A peer is a type with: map (find(k) -> bool, assign(k, v), erase(k)), counter (add(), sum()), pool (use(f) with f(buffer)),
// once (call(f)), and together(n, f), which runs f(0) to f(n - 1) at the same time and waits for all.
#pragma once

#include "../program.hpp"

#include <atomic>
#include <cstdint>
#include <vector>

namespace bench::shared {

using buffer = std::vector<char>;
inline buffer make_buffer() { return buffer(16 * 1024); }

template <class Peer>
struct cases {
  static inline unsigned workers = 1;

  static result once_done() {
    const std::size_t n = scaled(500'000'000);
    typename Peer::once once;
    once.call([] {});
    const stopwatch time;
    for (std::size_t i = 0; i < n; ++i) {
      once.call([] {});
      asm volatile("" : : : "memory");
    }
    return {time.per(n)};
  }

  /// Of a hundred operations on 64k keys so many are look-ups, the rest assigns and erases.
  static result map(unsigned reads) {
    constexpr std::uint64_t keys = 65'536;
    const std::size_t each = scaled(4'000'000) / workers;
    typename Peer::map m;
    for (std::uint64_t k = 0; k < keys; k += 2) m.assign(k, k);
    std::atomic<std::size_t> found{0};
    const stopwatch time;
    Peer::together(workers, [&](unsigned who) {
      std::uint64_t x = 88172645463325252 + who * 7919;
      std::size_t hits = 0;
      for (std::size_t i = 0; i < each; ++i) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        const std::uint64_t key = (x >> 20) % keys;
        if (x % 100 < reads) {
          hits += m.find(key);
        } else if (x & 1 << 10) {
          m.assign(key, i);
        } else {
          m.erase(key);
        }
      }
      found += hits;
    });
    const double ns = time.per(each * workers);
    require(found > 0, "some keys are there");
    return {ns};
  }

  static result counter() {
    const std::size_t each = scaled(40'000'000) / workers;
    typename Peer::counter c;
    const stopwatch time;
    Peer::together(workers, [&](unsigned) {
      for (std::size_t i = 0; i < each; ++i) c.add();
    });
    const double ns = time.per(each * workers);
    require(static_cast<std::size_t>(c.sum()) == each * workers, "the sum");
    return {ns};
  }

  static result pool() {
    const std::size_t each = scaled(10'000'000) / workers;
    typename Peer::pool p;
    const stopwatch time;
    Peer::together(workers, [&](unsigned) {
      for (std::size_t i = 0; i < each; ++i) p.use([](buffer& b) { keep(b.front() = 'x'); });
    });
    return {time.per(each * workers)};
  }

  template <class Host>
  static int run(int argc, char** argv, const char* name, Host host) {
    static constexpr one_case all[] = {
        {"once_done", "1", once_done},
        {"map_read99", "12", [] { return map(99); }},
        {"map_read50", "12", [] { return map(50); }},
        {"counter", "12", counter},
        {"pool_16k", "12", pool},
    };
    return run_program(argc, argv, name, all, [&](unsigned w, auto run_case) {
      workers = w;
      host(w, run_case);
    });
  }
};

}  // namespace bench::shared
