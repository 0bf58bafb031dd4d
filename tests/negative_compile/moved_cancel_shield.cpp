// expect: deleted
#include <runnel/context.hpp>

#include <utility>

void shields() {
  runnel::cancel_shield shield;
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::cancel_shield elsewhere = std::move(shield);
#endif
  static_cast<void>(shield);
}
