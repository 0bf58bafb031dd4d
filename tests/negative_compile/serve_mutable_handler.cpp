// expect: called by many at a time
#include <runnel/patterns/serve.hpp>

void starts(const runnel::channel<int>& requests) {
#ifdef RUNNEL_NEGATIVE_CONTROL
  auto s = runnel::serve(requests, [](int) {});
#else
  auto s = runnel::serve(requests, [n = 0](int i) mutable { n += i; });
#endif
  s.wait();
}
