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

/// False for a fiber that a stop of the runtime, or the end of its bubble, has left behind: it never runs again. And for all
/// while static objects are destroyed that are older than the runtime: what still waits then ends with the process.
bool goes_on(const agent& a) noexcept;

/// Ends the process if anybody waits in these queues of an object that is being destroyed; the message names them. In a forked
/// child nobody waits any more. Returns how many there are who never go on.
template <class... Queues>
std::size_t refuse_to_leave_waiters(const char* what, const void* object, Queues&&... queues) {
  if (in_forked_child()) return 0;
  std::size_t left_behind = 0;
  std::string names;
  const auto look = [&](const wait_node& n) {
    if (goes_on(n.owner->who())) {
      names.append(names.empty() ? "" : "; ").append(describe(*n.owner));
    } else {
      ++left_behind;
    }
  };
  (queues.for_each(look), ...);
  if (!names.empty()) detail::fatal("%s is destroyed while others wait for it (%p): %s", what, object, names.c_str());
  return left_behind;
}

}  // namespace runnel::inline RUNNEL_ABI::sched
