// expect: the function returns what goes on
#include <runnel/patterns/pipeline.hpp>

#include <vector>

void reads(const std::vector<int>& numbers) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::from(numbers) | runnel::map([](int) {}) | runnel::drain();
#else
  runnel::from(numbers) | runnel::for_each([](int) {});
#endif
}
