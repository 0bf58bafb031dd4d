// expect: f returns what the stream is to bring
#include <runnel/patterns/fan_out.hpp>

#include <vector>

void works(const std::vector<int>& numbers) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  auto s = runnel::fan_out(numbers, 2, [](int) {});
#else
  auto s = runnel::fan_out(numbers, 2, [](int v) { return v; });
#endif
  static_cast<void>(s);
}
