// Makes operator new fail where a test says so; see allocations.cpp.
#pragma once

#include <cstdint>

namespace runnel::test {

/// The k-th call of operator new from now on, of any thread, throws std::bad_alloc. Once.
void fail_allocation(std::int64_t k) noexcept;
/// Ends that; whether it has happened.
bool stop_failing() noexcept;

}  // namespace runnel::test
