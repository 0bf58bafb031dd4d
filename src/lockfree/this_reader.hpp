// The record of the calling thread. Only for the functions that tools/tls_accessors.txt names, which are not inlined and do
// not suspend: a call of sched::attached() would be a third of the cost of a read section.
#pragma once

#include "lockfree/rcu_state.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

inline thread_local constinit rcu_reader* reader_of_thread = nullptr;

/// Null before the thread's first section, and behind its end.
[[gnu::always_inline]] inline rcu_reader* this_reader() noexcept {
  asm volatile("");
  return reader_of_thread;
}
[[gnu::always_inline]] inline void set_this_reader(rcu_reader* r) noexcept { reader_of_thread = r; }

}  // namespace runnel::inline RUNNEL_ABI::detail
