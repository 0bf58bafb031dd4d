// expect: deleted
#include <runnel/context.hpp>

#include <utility>

void hands_over() {
  auto derived = runnel::derive_cancel(runnel::context::background());
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::cancel_handle copy = derived.cancel;
#endif
  runnel::cancel_handle moved = std::move(derived.cancel);
  moved.cancel();
}
