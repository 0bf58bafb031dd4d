// expect: no member named .?send
#include <runnel/time.hpp>

void ticks(runnel::ticker& t) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  t.send(runnel::steady_clock::now());
#endif
  static_cast<void>(t.receive());
}
