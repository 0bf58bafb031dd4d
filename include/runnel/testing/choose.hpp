// A choice that a test leaves open: explore() tries the values in its runs; elsewhere it is random.
#pragma once

#include <runnel/base/random.hpp>
#include <runnel/error.hpp>

namespace runnel::inline RUNNEL_ABI::testing {

/// A number in [0, n). Throws misuse for n = 0.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
inline std::uint32_t choose(std::uint32_t n) {
  if (n == 0) detail::throw_misuse("runnel::testing::choose(0): there is nothing to choose from");
  return detail::random_below(n);
}

}  // namespace runnel::inline RUNNEL_ABI::testing
