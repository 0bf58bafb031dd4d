// Stands in for src/lockfree/this_reader.hpp in a model build, whose threads are one.
#pragma once

#include "lockfree/rcu_state.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

inline rcu_reader* this_reader() noexcept {
  return static_cast<rcu_reader*>(static_cast<sched::read_depth*>(sched::attached(sched::attachment::reader)));
}
inline void set_this_reader(rcu_reader*) noexcept {}

}  // namespace runnel::inline RUNNEL_ABI::detail
