// Fork and join: a function that stands in the frame of the fiber that forks it, and is run by a plain call when that fiber comes
// to it, unless another worker has taken it meanwhile. For the layer of patterns.
//
// A branch that nobody takes costs a push and a pop: no fiber, no stack, no heap. One that is taken runs on a fiber of its own,
// so that it may wait. A fiber that has to wait for a taken branch parks; it takes no other work up meanwhile, so that stacks do
// not grow with what is taken.
//
// Use: enter(scope); for each branch fork(b, place), ..., and in the reverse order `if (join(b, place)) <run it>`; leave(scope).
// All on one fiber, but forks of a taken branch's own, which it makes on its own fiber under the same scope. The place is
// scope.here, if the fiber has not waited since enter(), or here().
// How it works: src/sched/fork_join.cpp.
#pragma once

#include <runnel/base/source_location.hpp>
#include <runnel/detail/deque_core.hpp>
#include <runnel/sched/job.hpp>
#include <runnel/sched/waiter.hpp>

#include <string_view>

namespace runnel::inline RUNNEL_ABI::detail {
class context_node;
}

namespace runnel::inline RUNNEL_ABI::sched {

struct fork_scope;

struct branch_tag;
struct branch : job, detail::list_hook<branch_tag> {
  enum class lies : std::uint32_t { lane, own, listed, elsewhere };
  branch(fork_scope& s, void (*run_on_fiber)(job&) noexcept) noexcept : scope(&s) { job::run = run_on_fiber; }

  fork_scope* const scope;
  waiter* joiner;           ///< published by `word`
  lies where = lies::lane;  ///< as far as its owner knows
  shim::atomic<std::uint32_t> word{0};
};

/// Where the branches lie of the fiber that a worker runs.
struct branch_lane {
#if defined(RUNNEL_SMALL_SIZES)  // as in base/sizes.hpp
  static constexpr std::uint64_t capacity = 2;
  static constexpr std::uint32_t patience = 1;
#else
  static constexpr std::uint64_t capacity = 64;    ///< a power of two
  static constexpr std::uint32_t patience = 256;  ///< real fences in a row, some 2 µs: as long as a heavy one takes
#endif
  /// shared: there are thieves.
  explicit branch_lane(bool shared) noexcept : deque(shared) {}

  detail::deque_core<branch*, detail::bounded_slots<branch*, capacity>, patience> deque;
  shim::atomic<std::uint64_t> turn{0};  ///< how many fibers have left it; written by its worker
  bool in_use = false;                  ///< the running fiber has a place on it; own thread only
};

/// Where the calling fiber forks, and whether it has left its stack since.
struct fork_place {
  branch_lane* lane;  ///< null: in a bubble, or on a thread: there is none
  std::uint64_t turn;
  bool still_here() const noexcept {
    return lane->turn.load(shim::order::relaxed) == turn;  // relaxed: the caller's own departure is the first change of it
  }
};

/// Of fibers, for reports. Stays where it is as long as the operation.
struct fork_label {
  std::string_view name = {};
  detail::site at = {};
};

/// The part of a fiber or thread that forks and joins.
struct fork_owner {
  fork_scope* forks = nullptr;                  ///< owner only: the innermost of its fork-join operations
  shim::atomic<std::uint32_t> failed_forks{0};  ///< how many of these cancel it: see cancel_owner()
};

/// What the branches of one operation have in common; in the frame of who began it.
struct fork_scope {
  explicit fork_scope(const fork_label& l) noexcept : label(&l) {}
  // Set by enter().
  fork_owner* owner;              ///< who entered it
  fork_scope* outer;              ///< of the same fiber
  detail::context_node* ambient;  ///< the owner's, when it entered
  fork_place here;                ///< the owner's, when it entered
  std::uint32_t shields;          ///< the owner's, when it entered
  const fork_label* const label;
  shim::atomic<detail::context_node*> canceled_by{nullptr};  ///< set by cancel_owner()
};

// The short ways are compiled into the caller. Not where the detector of races looks into the caller, nor for the explorer: there
// every call goes into the library, whose accesses it does not see, and which announces the order.
#if defined(RUNNEL_INSTRUMENTED)
inline constexpr bool forks_inline = false;
#else
inline constexpr bool forks_inline = !detail::exploring;
#endif

/// The caller begins to fork. Not a point of cancellation.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
/// True: on a fiber in the real world, which is canceled if `ambient` is, and not else.
bool enter(fork_scope& s);
void leave_slowly(fork_scope& s) noexcept;
inline void leave(fork_scope& s) noexcept {
  if (!forks_inline) return leave_slowly(s);
  s.owner->forks = s.outer;
}
/// Whether the owner is no fiber: where it has no place.
bool entered_by_thread(const fork_scope& s) noexcept;
/// For a branch that has failed on another fiber: ends the wait that the owner is in, if that can be canceled, and refuses
/// those to come until it leaves the scope. Once for each scope, and nothing when the caller is the owner; `by` is canceled
/// and outlives it.
void cancel_owner(fork_scope& s, detail::context_node& by) noexcept;
/// For the owner after the last join and before leave(), if some branch may have failed on another fiber.
void uncancel_owner(fork_scope& s) noexcept;

/// The calling fiber's place at this moment.
/// - blocks: never
/// - cancel: ignores
/// - threads: a fiber
fork_place here() noexcept;

void fork_slowly(branch& b, const fork_place& at) noexcept;
/// From now on others may run b, by b.run. `at`: the caller's place at this moment.
/// - blocks: never
/// - cancel: ignores
/// - threads: a fiber
inline void fork(branch& b, const fork_place& at) noexcept {
  if (!forks_inline || !at.lane || !at.lane->deque.push_quickly(&b)) [[unlikely]] fork_slowly(b, at);
}
/// The same, but never for the caller: on a fiber of its own at once. Throws std::bad_alloc; what the start of the runtime throws.
void start(branch& b);

bool join_slowly(branch& b, const fork_place& at) noexcept;
/// True: nobody has begun b, and nobody will: the caller runs it. False: it has ended. `at`: as for its fork.
/// - blocks: until it has ended, where another one runs it
/// - cancel: ignores
/// - threads: who forked it
inline bool join(branch& b, const fork_place& at) noexcept {
  return (forks_inline && b.where == branch::lies::lane && at.still_here() && at.lane->deque.pop()) || join_slowly(b, at);
}

/// How many workers run; 0 where none do yet.
unsigned width() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
