// What the replaced shim, the replaced futex and the programs call: the operations of the checker on untyped words.
// None of it is inline, so that the checker's own state stays out of instrumented code.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace model::detail {

/// A call's place in the source: what failures print and mutations name.
struct site {
  const char* file = "";
  const char* function = "";
  unsigned line = 0;

  static constexpr site here(const char* f = __builtin_FILE(), const char* fn = __builtin_FUNCTION(),
                             unsigned l = __builtin_LINE()) noexcept {
    return {f, fn, l};
  }
};

/// An atomic object: the value it was made with, and where its history stands in the present execution.
struct word {
  std::uint64_t initial = 0;
  std::uint64_t outside = 0;  ///< the value while no execution runs
  std::uint64_t execution = 0;
  std::uint32_t location = 0;
};

using order = std::memory_order;
enum class rmw : std::uint8_t { exchange, add, sub, bit_or, bit_and };

void make(word& w, std::uint64_t value) noexcept;
void end(word& w) noexcept;
std::uint64_t load(const word& w, order o, const site& at) noexcept;
void store(word& w, std::uint64_t v, order o, const site& at) noexcept;
/// `mask`: the bits of the value's type.
std::uint64_t modify(word& w, rmw how, std::uint64_t v, std::uint64_t mask, order o, const site& at) noexcept;
bool compare_exchange(word& w, std::uint64_t& expected, std::uint64_t desired, order success, order failure,
                      const site& at) noexcept;
void fence(order o, const site& at) noexcept;
/// Every thread executes a seq_cst fence, in one step.
void heavy_fence(const site& at) noexcept;
void pause(const site& at) noexcept;

/// False: the deadline passed.
bool futex_wait(const word& w, std::uint64_t expected, bool timed, const site& at) noexcept;
void futex_wake(const word& w, int count, const site& at) noexcept;

void plain_access(const void* address, std::size_t bytes, bool write, const site& at) noexcept;

unsigned spawn(void (*f)(void*), void* argument);
void join(unsigned thread);
bool wait_until(bool (*f)(void*), void* argument, bool timed);
[[noreturn]] void fail(const char* what, const site& at) noexcept;

}  // namespace model::detail
