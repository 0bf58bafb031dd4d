// expect: deleted
#include <runnel/sync/wait_group.hpp>

void counts() {
  runnel::wait_group original;
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::wait_group copy = original;
#endif
  original.wait();
}
