// expect: deleted
#include <runnel/context.hpp>

#include <utility>

void enters() {
  runnel::context_scope scope(runnel::context::background());
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::context_scope elsewhere = std::move(scope);
#endif
  static_cast<void>(scope);
}
