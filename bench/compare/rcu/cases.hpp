// The cases of a value that is read often and replaced as a whole: the same work for each peer, which gives the cell.
//
// A peer is a type with: cell (made from a record; read(f) calls f(record), update(f) replaces the record by f(record)),
// together(n, f), which runs f(0) to f(n - 1) at the same time and waits for all, and leave(), which a party of it calls last.
#pragma once

#include "../program.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace bench::rcu {

/// A configuration, as small as they get.
struct record {
  std::uint64_t first = 0, second = 0;
  std::uint64_t rest[6] = {};
};
inline record next(const record& r) { return {r.first + 1, r.second + 1, {}}; }

/// For peers without fibers: threads, of which the caller is one.
template <class F>
void on_threads(unsigned n, F f) {
  std::vector<std::jthread> others;
  for (unsigned i = 1; i < n; ++i) others.emplace_back([&f, i] { f(i); });
  f(0);
}

template <class Peer>
struct cases {
  static inline unsigned workers = 1;

  /// `readers` read n times each; true: one more party updates as fast as it can until they have.
  static result reads(std::size_t n, bool updated) {
    typename Peer::cell cell{record{}};
    const std::size_t each = scaled(n) / workers;
    std::atomic<unsigned> reading{workers};
    std::atomic<std::size_t> updates{0};
    const stopwatch time;
    double ns = 0;
    Peer::together(workers + (updated ? 1 : 0), [&](unsigned who) {
      if (who == workers) {
        std::size_t made = 0;
        while (reading.load(std::memory_order_relaxed) != 0) {
          cell.update(next);
          ++made;
        }
        updates = made;
      } else {
        std::uint64_t torn = 0;
        for (std::size_t i = 0; i < each; ++i) cell.read([&](const record& r) { torn |= r.first ^ r.second; });
        require(torn == 0, "a torn value");
        if (reading.fetch_sub(1) == 1) ns = time.ns();
      }
      Peer::leave();
    });
    const double per = ns / static_cast<double>(each * workers);
    return {per, updated ? format("%.0f ns an update", ns / static_cast<double>(updates)) : std::string()};
  }

  static result update() {
    typename Peer::cell cell{record{}};
    const std::size_t n = scaled(2'000'000);
    const stopwatch time;
    for (std::size_t i = 0; i < n; ++i) cell.update(next);
    const double ns = time.per(n);
    cell.read([&](const record& r) { require(r.first == n, "lost updates"); });
    Peer::leave();
    return {ns};
  }

  template <class Host>
  static int run(int argc, char** argv, const char* name, Host host) {
    static constexpr one_case all[] = {
        {"read", "12", [] { return reads(50'000'000, false); }},
        {"read_updated", "12", [] { return reads(20'000'000, true); }},
        {"update", "1", update},
    };
    return run_program(argc, argv, name, all, [&](unsigned w, auto run_case) {
      workers = w;
      host(w, run_case);
    });
  }
  static int run_on_threads(int argc, char** argv, const char* name) {
    return run(argc, argv, name, [](unsigned, auto run_case) { run_case(); });
  }
};

}  // namespace bench::rcu
