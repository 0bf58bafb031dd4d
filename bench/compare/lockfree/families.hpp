// What the families of lock-free structures share: how many threads, and the main function over the cases of each.
//
// A family is <family>_cases.hpp, with the cases for a peer's types, and <family>_<peer>.hpp, which has these types.
#pragma once

#include "../program.hpp"

#include <initializer_list>
#include <thread>
#include <vector>

namespace bench::lockfree {

inline unsigned workers = 1;

/// Runs f(0) to f(n - 1) on a thread each and waits for all.
template <class F>
void together(unsigned n, F f) {
  std::vector<std::jthread> threads;
  for (unsigned i = 1; i < n; ++i) threads.emplace_back([&f, i] { f(i); });
  f(0);
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
