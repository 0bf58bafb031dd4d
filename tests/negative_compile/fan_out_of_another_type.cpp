// expect: f cannot be called with the values of the source
#include <runnel/patterns/fan_out.hpp>

#include <string>
#include <vector>

void works(const std::vector<int>& numbers) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  auto s = runnel::fan_out(numbers, 2, [](std::string v) { return v; });
#else
  auto s = runnel::fan_out(numbers, 2, [](int v) { return v; });
  static_cast<void>(s);
#endif
}
