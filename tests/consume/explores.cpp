#include <runnel/go.hpp>
#include <runnel/testing/explore.hpp>

#include <cstdio>

int main() {
  const auto r = runnel::explore({.schedules = 6}, [] {
    auto t = runnel::go([] { return 7; });
    t.get();
  });
  std::printf("%zu\n", 7 * r.schedules);
}
