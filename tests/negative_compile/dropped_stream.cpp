// expect: its producers are cancelled at once
#include <runnel/patterns/generate.hpp>

void drops() {
  const auto one = [](auto& out) { out.send(1); };
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::generate<int>(one);
#else
  auto kept = runnel::generate<int>(one);
  static_cast<void>(kept);
#endif
}
