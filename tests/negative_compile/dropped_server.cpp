// expect: nodiscard|ignoring return
#include <runnel/patterns/serve.hpp>

void starts(const runnel::channel<int>& requests) {
#ifdef RUNNEL_NEGATIVE_CONTROL
  auto kept = runnel::serve(requests, [](int) {});
  kept.wait();
#else
  runnel::serve(requests, [](int) {});
#endif
}
