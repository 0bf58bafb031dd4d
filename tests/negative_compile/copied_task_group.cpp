// expect: deleted
#include <runnel/task_group.hpp>

#include <utility>

void groups() {
  runnel::task_group original;
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::task_group elsewhere = std::move(original);
#endif
  original.wait();
}
