// expect: f returns what the vector is to hold
#include <runnel/patterns/parallel.hpp>

#include <vector>

void works(const std::vector<int>& numbers) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::parallel_transform(numbers, [](int) {});
#else
  runnel::parallel_for_each(numbers, [](int) {});
#endif
}
