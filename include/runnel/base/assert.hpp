// Broken invariants end the process with a message that names the fiber, the object and the remedy.
#pragma once

#include <runnel/base/abi.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

/// Prints "runnel: fatal: <message> [in fiber ...]" and aborts. The format is printf's.
[[noreturn, gnu::format(printf, 1, 2), gnu::cold]] void fatal(const char* format, ...) noexcept;

/// Prints "runnel: <message>" on stderr in one write.
[[gnu::format(printf, 1, 2), gnu::cold]] void report(const char* format, ...) noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail

#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
#define RUNNEL_ASSERT(condition, message) \
  ((condition) ? void(0) : ::runnel::detail::fatal("%s (assertion %s)", message, #condition))
#else
#define RUNNEL_ASSERT(condition, message) void(0)
#endif
