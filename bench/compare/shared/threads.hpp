// For peers without fibers: threads, of which the caller is one.
#pragma once

#include <thread>
#include <vector>

namespace bench::shared {

template <class F>
void on_threads(unsigned n, F f) {
  std::vector<std::jthread> others;
  for (unsigned i = 1; i < n; ++i) others.emplace_back([&f, i] { f(i); });
  f(0);
}

}  // namespace bench::shared
