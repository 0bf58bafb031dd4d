// expect: deleted
#include <runnel/patterns/pipeline.hpp>

#include <vector>

void goes_on(const std::vector<int>& numbers) {
  auto p = runnel::from(numbers);
#ifndef RUNNEL_NEGATIVE_CONTROL
  p | runnel::drain();
#else
  std::move(p) | runnel::drain();
#endif
}
