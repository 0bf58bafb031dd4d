// Makes operator new fail where a test says so; see allocations.cpp.
#pragma once

#include <cstdint>

namespace runnel::test {

/// The k-th call of operator new from now on, of any thread, throws std::bad_alloc. Once.
void fail_allocation(std::int64_t k) noexcept;
/// Ends that; whether it has happened.
bool stop_failing() noexcept;

/// What the calling thread allocates in the scope, and frees in it, is not counted and does not fail: it belongs to no test.
class uncounted_allocations {
 public:
  uncounted_allocations() noexcept;
  ~uncounted_allocations();
  uncounted_allocations(const uncounted_allocations&) = delete;
  uncounted_allocations& operator=(const uncounted_allocations&) = delete;
};

}  // namespace runnel::test
