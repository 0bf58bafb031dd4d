// expect: the function cannot be called with the values above
#include <runnel/patterns/pipeline.hpp>

#include <string>
#include <vector>

void reads(const std::vector<int>& numbers) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::from(numbers) | runnel::map([](std::string s) { return s; }) | runnel::drain();
#else
  runnel::from(numbers) | runnel::map([](int v) { return v; }) | runnel::drain();
#endif
}
