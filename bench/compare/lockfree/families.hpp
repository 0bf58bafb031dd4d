// What the families of lock-free structures share: how many threads, and the main function over the cases of each.
//
// A family is <family>_cases.hpp, with the cases for a peer's types, and <family>_<peer>.hpp, which has these types.
#pragma once

#include "../program.hpp"

#include <sched.h>

#include <initializer_list>
#include <thread>
#include <vector>

namespace bench::lockfree {

inline unsigned workers = 1;

/// Keeps the calling thread on the i-th of the processors, counted round: where the system puts two threads decides
/// whether they contend or take turns, and it decides anew in each run.
inline void on_processor(unsigned i) {
  cpu_set_t all, one;
  require(sched_getaffinity(0, sizeof all, &all) == 0, "the processors that there are");
  unsigned skip = i % static_cast<unsigned>(CPU_COUNT(&all)), at = 0;
  while (!CPU_ISSET(at, &all) || skip-- != 0) ++at;
  CPU_ZERO(&one);
  CPU_SET(at, &one);
  require(sched_setaffinity(0, sizeof one, &one) == 0, "a processor");
}

/// Runs f(0) to f(n - 1) on a thread each, spread over the processors, and waits for all.
template <class F>
void together(unsigned n, F f) {
  std::vector<std::jthread> threads;
  const auto part = [&f](unsigned i) {
    on_processor(i);
    f(i);
  };
  for (unsigned i = 1; i < n; ++i) threads.emplace_back(part, i);
  part(0);
}

/// Tells the core that it spins.
inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Tries with pauses, now and then with the processor for somebody else.
template <class Try>
void until(Try attempt) {
  for (unsigned n = 1; !attempt(); ++n) {
    if (n % 16 == 0) {
      std::this_thread::yield();
    } else {
      pause();
    }
  }
}

inline int run(int argc, char** argv, const char* peer, std::initializer_list<std::vector<one_case>> families) {
  std::vector<one_case> all;
  for (const auto& family : families)
    for (const one_case& c : family) all.push_back(c);
  return run_program(argc, argv, peer, all, [](unsigned w, auto run_case) {
    workers = w;
    run_case();
  });
}

}  // namespace bench::lockfree
