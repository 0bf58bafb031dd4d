// expect: result must have a noexcept destructor
#include <runnel/go.hpp>

struct result {
#ifndef RUNNEL_NEGATIVE_CONTROL
  ~result() noexcept(false) {}
#endif
  int number = 0;
};

int computes() {
  auto task = runnel::go([] { return result(); });
  return task.get().number;
}
