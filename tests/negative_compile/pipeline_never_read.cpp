// expect: nodiscard
#include <runnel/patterns/pipeline.hpp>

#include <vector>

void forgets(const std::vector<int>& numbers) {
  const auto twice = [](int v) { return 2 * v; };
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::from(numbers) | runnel::map(twice);
#else
  runnel::from(numbers) | runnel::map(twice) | runnel::drain();
#endif
}
