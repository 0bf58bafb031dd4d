// expect: every stream gets a copy
#include <runnel/patterns/tee.hpp>

#include <memory>
#include <vector>

void splits([[maybe_unused]] std::vector<int> numbers, [[maybe_unused]] std::vector<std::unique_ptr<int>> owned) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  auto both = runnel::tee(std::move(owned));
#else
  auto both = runnel::tee(std::move(numbers));
#endif
  static_cast<void>(both);
}
