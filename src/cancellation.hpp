// The cancellation of the library's own blocking operations, for a caller that knows which agent it is. What they mean:
// see the functions of the same names in <runnel/detail/context_node.hpp>.
#pragma once

#include "sched/agent.hpp"

#include <runnel/detail/context_node.hpp>
#include <runnel/sched/fork.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

void check_canceled_slowly(const sched::agent& caller, context_node* extra);

inline void check_canceled(const sched::agent& caller, context_node* extra) {
  const bool shut = caller.shields != 0;
  // relaxed: a hint; what is behind it is acquired
  if ((!shut && ((caller.ambient && caller.ambient->is_canceled()) || caller.lives_in ||
                 caller.failed_forks.load(shim::order::relaxed) != 0)) || (extra && extra->is_canceled()) ||
      sched::in_forked_child())
    check_canceled_slowly(caller, extra);
}

sched::claim_token wait(sched::agent& caller, sched::waiter& w, sched::wait_reason reason, const void* object,
                        time_point deadline = never, context_node* extra = nullptr) noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
