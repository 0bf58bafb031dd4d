// The operations that have a budget, each measured in its steady state by a fiber on the only worker.
#pragma once

#include "count.hpp"

#include <span>

namespace budget {

/// What a number of operations took together.
struct measured {
  counts total;
  std::int64_t operations = 0;
};

struct operation {
  const char* name;
  measured (*measure)();  ///< to be called by a fiber of a run() of its own
};

std::span<const operation> operations() noexcept;

}  // namespace budget
