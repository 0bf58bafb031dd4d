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

/// Who waits in these queues of an object that is being destroyed. In a forked child nobody does any more.
struct left_waiters {
  template <class... Queues>
  explicit left_waiters(Queues&&... queues) {
    if (!in_forked_child()) (queues.for_each([this](const wait_node& n) { look_at(n); }), ...);
  }
  void look_at(const wait_node& n) {
    if (goes_on(n.owner->who())) {
      names.append(names.empty() ? "" : "; ").append(describe(*n.owner));
    } else {
      ++behind;
    }
  }
  std::string names;       ///< of those who go on
  std::size_t behind = 0;  ///< how many never do
};
inline constexpr const char* destroyed_under_waiters = "%s is destroyed while others wait for it (%p): %s";

/// Ends the process if anybody waits; the message names them. Returns how many there are who never go on.
template <class... Queues>
std::size_t refuse_to_leave_waiters(const char* what, const void* object, Queues&&... queues) {
  const left_waiters left(queues...);
  if (!left.names.empty()) detail::fatal(destroyed_under_waiters, what, object, left.names.c_str());
  return left.behind;
}

/// What is no lock may be static and be waited for until the process ends, which cannot be told from a mistake: then its
/// destructor runs outside of fibers, where the message is only printed.
bool left_is_fatal() noexcept;
template <class... Queues>
void tell_of_left_waiters(const char* what, const void* object, Queues&&... queues) {
  const left_waiters left(queues...);
  if (left.names.empty()) return;
  (left_is_fatal() ? detail::fatal : detail::report)(destroyed_under_waiters, what, object, left.names.c_str());
}

}  // namespace runnel::inline RUNNEL_ABI::sched
