// A C++ peer's program: its cases, and the command line that bench/run expects of the program of
// every peer.
//
//   PROGRAM list                     a line for each case: its name, and the worker counts that
//   make sense for it PROGRAM CASE WORKERS [DIVISOR]   runs one case with a DIVISORth of its
//   operations, and prints
//                                    peer, case, workers, nanoseconds per operation and remarks,
//                                    separated by tabs
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include <unistd.h>

namespace bench {

struct result {
  double value;  ///< nanoseconds per operation, or what the remarks say
  std::string remarks = {};
};

struct one_case {
  const char* name;
  const char* workers;  ///< one digit each
  result (*run)();
};

inline std::size_t divisor = 1;

/// How often to repeat: `full` in a measurement, less in a quick run.
inline std::size_t scaled(std::size_t full) { return std::max<std::size_t>(1, full / divisor); }

class stopwatch {
 public:
  double ns() const {
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start_)
        .count();
  }
  double per(std::size_t operations) const { return ns() / static_cast<double>(operations); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The compiler must take it that v is looked at.
template <class T>
void keep(const T& v) {
  asm volatile("" : : "g"(v) : "memory");
}

/// A wrong result is worse than none.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "wrong result: %s\n", what);
  std::_Exit(3);
}

/// Bytes of this process in physical memory.
inline double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

template <class... Values>
std::string format(const char* pattern, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

/// What a chain of filters that finds the first `primes` primes does: every number passes the
/// filters of all primes up to its smallest factor.
struct sieve_work {
  int last_prime = 0;
  std::size_t messages = 0;

  explicit sieve_work(std::size_t primes) {
    std::vector<int> found;
    for (int number = 2; found.size() < primes; ++number) {
      const auto factor =
          std::find_if(found.begin(), found.end(), [&](int p) { return number % p == 0; });
      messages += static_cast<std::size_t>(factor - found.begin()) + 1;
      if (factor == found.end()) found.push_back(number);
    }
    last_prime = found.back();
  }
};

/// The main function. host(workers, run) calls run() where the peer's operations may be called.
template <class Host>
int run_program(int argc, char** argv, const char* peer, std::span<const one_case> cases,
                Host&& host) {
  if (argc == 2 && std::strcmp(argv[1], "list") == 0) {
    for (const one_case& c : cases) std::printf("%s %s\n", c.name, c.workers);
    return 0;
  }
  if (argc >= 3) {
    const auto workers = static_cast<unsigned>(std::atoi(argv[2]));
    if (argc >= 4) divisor = static_cast<std::size_t>(std::max(1, std::atoi(argv[3])));
    for (const one_case& c : cases) {
      if (std::strcmp(c.name, argv[1]) != 0) continue;
      host(workers, [&] {
        const result r = c.run();
        std::printf("%s\t%s\t%u\t%.3f\t%s\n", peer, c.name, workers, r.value, r.remarks.c_str());
        std::fflush(stdout);
      });
      return 0;
    }
  }
  std::fprintf(stderr, "usage: %s list | CASE WORKERS [DIVISOR]\n", argv[0]);
  return 2;
}

}  // namespace bench
