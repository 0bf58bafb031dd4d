// expect: must have a noexcept destructor
#include <runnel/channel.hpp>

struct element {
#ifndef RUNNEL_NEGATIVE_CONTROL
  ~element() noexcept(false) {}
#endif
  int value = 0;
};

void makes() {
  const runnel::channel<element> elements(1);
  elements.close();
}
