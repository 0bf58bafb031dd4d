// The end of an object that others still wait for.
#pragma once

#include <runnel/base/assert.hpp>
#include <runnel/sched/fork.hpp>
#include <runnel/sched/waiter.hpp>

#include <string>

namespace runnel::inline RUNNEL_ABI::sched {

/// "fiber 7 \"reader\", started at file:line", or "a thread outside the runtime".
std::string describe(const waiter& w);
/// The same for whoever runs now on the thread of that sched::place.
std::string describe_user_of(const void* thread);

/// Ends the process if anybody waits in these queues of an object that is being destroyed; the message names them. In a forked
/// child nobody waits any more.
template <class... Queues>
void refuse_to_leave_waiters(const char* what, const void* object, Queues&&... queues) {
  if (in_forked_child()) return;
  std::string names;
  (queues.for_each([&](const wait_node& n) { names.append(names.empty() ? "" : "; ").append(describe(*n.owner)); }), ...);
  if (!names.empty()) detail::fatal("a %s is destroyed while others wait for it (%p): %s", what, object, names.c_str());
}

}  // namespace runnel::inline RUNNEL_ABI::sched
