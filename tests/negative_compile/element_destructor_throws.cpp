// expect: element must have a noexcept destructor
#include <runnel/channel.hpp>

struct element {
#ifndef RUNNEL_NEGATIVE_CONTROL
  ~element() noexcept(false) {}
#endif
  int number = 0;
};

void sends() {
  runnel::channel<element> elements(1);
  elements.send(element());
}
