// What a forked child may do. It has the one thread that called fork: no worker, no monitor, no other fiber. If the runtime
// ran then, the child can wait for nothing and start nothing; what need not wait works.
//
// Blocking operations look at the mark where they look for a cancellation, destructors where they would join. What another
// thread was in the middle of using at that instant is not to be used in the child: the lock inside it stays taken.
#pragma once

#include <runnel/base/abi.hpp>

namespace runnel::inline RUNNEL_ABI::sched {

/// Written once, in a child, before its only thread goes on: no atomic.
inline constinit bool forked = false;

/// Whether this process was forked while the runtime ran.
inline bool in_forked_child() noexcept { return forked; }
/// Throws misuse: for operations that would wait or start something there.
[[noreturn, gnu::cold]] void refuse_in_forked_child();

}  // namespace runnel::inline RUNNEL_ABI::sched
