// Fork and join: a function that stands in the frame of the fiber that forks it, and is run by a plain call when that fiber comes
// to it, unless another worker has taken it meanwhile. For the layer of patterns.
//
// A branch that nobody takes costs a push and a pop: no fiber, no stack, no heap. One that is taken runs on a fiber of its own,
// so that it may wait. A fiber that has to wait for a taken branch parks; it takes no other work up meanwhile, so that stacks do
// not grow with what is taken.
//
// Use: enter(scope); for each branch fork(b), ..., and in the reverse order `if (join(b)) <run it>`; leave(scope). All on one fiber,
// but forks of a taken branch's own, which it makes on its own fiber under the same scope.
// How it works: src/sched/fork_join.cpp.
#pragma once

#include <runnel/base/source_location.hpp>
#include <runnel/sched/job.hpp>
#include <runnel/sched/waiter.hpp>

#include <string_view>

namespace runnel::inline RUNNEL_ABI::detail {
class context_node;
}

namespace runnel::inline RUNNEL_ABI::sched {

class worker;

/// What the branches of one operation have in common; in the frame of who began it.
struct fork_scope {
  agent* owner;                     ///< who entered it
  fork_scope* outer;                ///< of the same fiber
  detail::context_node* ambient;    ///< the owner's, when it entered
  bool shielded;                    ///< the owner was
  bool on_thread;                   ///< the owner is no fiber
  bool by_fibers;                   ///< in a bubble: each branch is a fiber from the beginning
  bool must_look;                   ///< the owner may be canceled, whatever `ambient` says
  std::string_view name;            ///< of fibers, for reports
  detail::site at;
  shim::atomic<detail::context_node*> canceled_by{nullptr};  ///< set by cancel_owner()
};

struct branch_tag;
struct branch : job, detail::list_hook<branch_tag> {
  enum class lies : std::uint8_t { own, lane, listed, elsewhere };
  branch(fork_scope& s, void (*run_on_fiber)(job&) noexcept) noexcept : scope(&s) { job::run = run_on_fiber; }

  fork_scope* const scope;
  lies where = lies::own;  ///< as far as its owner knows
  shim::atomic<std::uint32_t> word{0};
  std::uint32_t turn = 0;    ///< of its owner, when it was put there
  fiber* by = nullptr;       ///< its owner
  worker* lane = nullptr;    ///< on whose deque it lies
  waiter* joiner = nullptr;  ///< published by `word`
};

/// The caller begins to fork. Not a point of cancellation.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
void enter(fork_scope& s);
void leave(fork_scope& s) noexcept;
/// For a branch that has failed on another fiber: ends the wait that the owner is in, if that can be canceled, and refuses
/// those to come until it leaves the scope. Once for each scope; `by` is canceled and outlives it.
void cancel_owner(fork_scope& s, detail::context_node& by) noexcept;

/// From now on others may run b, by b.run.
/// - blocks: never
/// - cancel: ignores
/// - threads: a fiber
void fork(branch& b) noexcept;
/// The same, but never for the caller: on a fiber of its own at once. Throws std::bad_alloc; what the start of the runtime throws.
void start(branch& b);
/// True: nobody has begun b, and nobody will: the caller runs it. False: it has ended.
/// - blocks: until it has ended, where another one runs it
/// - cancel: ignores
/// - threads: who forked it
bool join(branch& b) noexcept;

/// How many workers run; 0 where none do yet.
unsigned width() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
