// An agent is whoever may wait: a fiber, or a thread of the process.
//
// Both descriptors are type-stable: their memory is never freed, so that a waker which comes late (a futex wake
// after the waiter has gone on) touches nothing that was reused for something else.
#pragma once

#include "fiber/sanitizer.hpp"
#include "fiber/stack_pool.hpp"
#include "sched/fiber_label.hpp"

#include <runnel/fiber/stack.hpp>
#include <runnel/sched/fork_join.hpp>
#include <runnel/sched/job.hpp>
#include <runnel/sched/waiter.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::detail {
class context_node;
struct ambient_scope;
struct fiber_local_value;
}  // namespace runnel::inline RUNNEL_ABI::detail

namespace runnel::inline RUNNEL_ABI::sched {

class world;

struct listener_tag;
// A million fibers have a million records: the fields stand so that there is no padding.
struct agent : fork_owner, detail::list_hook<listener_tag> {
  /// Completed operations before others get their turn.
  static constexpr std::int32_t operations_a_turn = 128;

  explicit agent(bool fiber) noexcept : is_fiber(fiber) {}

  const bool is_fiber;
  // Written by the owner before and after a wait, read by reports at any time.
  shim::atomic<wait_reason> reason{wait_reason::none};
  shim::atomic<bool> timed{false};  ///< the wait has a deadline
  std::uint8_t sections_without_parking : 7 = 0;  ///< owner only: how many there are of no_parking, and in_read_section
  bool reclaims : 1 = false;                      ///< owner only, for hazard pointers: it calls deleters
  /// In the build for exploration, where a choice may take a fiber out of a section and to another thread; else the thread
  /// knows, see read_depth.
  static constexpr std::uint8_t in_read_section = 0x40;
  // Owner only, the cancellation layer's too (src/context.cpp), which the scheduler does not interpret.
  std::int32_t operations_left = operations_a_turn;  ///< of this turn; set anew by the worker that resumes a fiber
  shim::atomic<std::uint32_t> word{0};               ///< of the wait that is going on: see waiter.cpp
  std::uint32_t shields = 0;
  waiter* waiting = nullptr;                  ///< the wait that is going on, once it listens
  detail::context_node* ambient = nullptr;    ///< null: the background
  detail::context_node* listens_to = nullptr; ///< knows this agent, and keeps it among its listeners until it is canceled
  detail::ambient_scope* innermost = nullptr;
  std::uint64_t swallowed_origin = 0;  ///< which cancellation the operations in a row were refused for
  detail::fiber_local_value* locals = nullptr;
  world* lives_in = nullptr;  ///< the bubble that it belongs to; null: the real world. A fiber's is set before it starts.
  shim::atomic<const void*> object{nullptr};  ///< of the wait, for reports
  std::uint32_t swallowed = 0;                ///< how many operations
};

enum class fiber_state : std::uint8_t { unused, reserved, runnable, running, parked, abandoned };

struct fiber : agent {
  fiber() noexcept : agent(true) {}

  /// The lowest usable byte, above the guard.
  std::byte* stack_bottom() const noexcept { return stack_top - stack_bytes(size_class) + detail::guard_bytes(size_class); }

  std::uint32_t number_in_world = 0;  ///< the control's, where there is one
  // The stack pointer while the fiber is off its stack; null while it runs or still leaves. Stored by
  // runnel_switch as its last access to the stack (release), acquired and cleared by the worker that resumes it.
  shim::atomic<void*> saved_sp{nullptr};
  fiber* next = nullptr;  ///< link of the injection queue or the free list, under that list's lock
  shim::atomic<job*> work{nullptr};  ///< the owner of the record writes it; others ask whether it is theirs
  std::byte* stack_top = nullptr;
  [[no_unique_address]] detail::sanitizer::context sanitizer;

  // For reports; written before the fiber is made runnable, or by the fiber itself.
  [[no_unique_address]] fiber_label label;
  shim::atomic<fiber_state> state{fiber_state::unused};
  stack_class size_class = stack_class::standard;
  bool checks_stack = false;       ///< its guard is in software: looked at whenever it leaves the stack
  detail::guard_kind own_stack{};  ///< of a stack of its own mapping
};

struct thread_agent : agent {
  thread_agent() noexcept : agent(false) {}

  shim::atomic<std::uint32_t> permit{0};  ///< 1: woken and not yet seen
  thread_agent* next = nullptr;           ///< pool link
};

/// Whether f waits for something, and nobody has ended its wait yet. For reports: a moment behind.
bool is_blocked(const fiber& f) noexcept;

/// Whether the caller, which is `a`, is in an RCU read section.
bool in_read_section(const agent& a) noexcept;
/// It is, and is about to do what its `reason` says, or to yield: ends the process.
[[noreturn, gnu::cold]] void refuse_to_wait_in_section(const agent& a) noexcept;

/// The world of the calling fiber; null on every thread outside of fibers. Never inlined: see this_agent().
[[gnu::noinline]] world* this_world() noexcept;

/// Destroys the fiber-local values of the caller, which is `a`.
void destroy_locals(agent& a) noexcept;

/// Whether an exception of the caller, which is `a`, is on its way to a handler.
bool unwinding(const agent& a) noexcept;

/// spend_turn() for a caller that knows itself.
void end_turn(agent& caller) noexcept;
inline void spend_turn(agent& caller) noexcept {
  if (--caller.operations_left <= 0) end_turn(caller);
}

/// The caller (this_agent()), and what tells the thread that it runs on at this moment from all others that exist: of a fiber, its
/// worker.
struct place {
  agent& caller;
  const void* thread;
};
[[gnu::noinline]] place this_place();

}  // namespace runnel::inline RUNNEL_ABI::sched
