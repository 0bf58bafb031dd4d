// expect: a source is a receiving end, a listener, or a function
#include <runnel/patterns/serve.hpp>

#include <vector>

void serves(const std::vector<int>& requests) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  auto s = runnel::serve(requests, [](int) {});
#else
  for (int r : requests) static_cast<void>(r);
#endif
}
