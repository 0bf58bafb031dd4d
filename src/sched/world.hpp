// A world of virtual time: what testing::bubble and the explorer put their fibers into. The real world is the null pointer.
//
// active_ counts the members that are not blocked. A member counts from the moment that somebody makes it runnable (a claim
// of its waiter, its start) until it parks or has ended; a wait that the outside may end counts twice, so that it never
// leaves the world idle. Whoever acts for the world without being a member (the keeper at its beginning, the one who moves
// the clock) counts as well.
//
// Invariants
//  1. enter() comes before the member can run, exit() after everything that the member did before it parked. So active_ is
//     zero exactly when every member is blocked and nobody has claimed its waiter: the world is idle.
//  2. active_ becomes zero only under the lock of `timers`. Who made it zero moves the clock or tells the keeper, still under
//     that lock; its release is the last that exit() does with the world.
//  3. While the clock moves it is counted itself, from before the lock's release until everything that has fired was run.
//  4. Only a timer of this world or somebody outside can end the idleness.
// No lost wake-up: a wake-up raises active_ before the member becomes runnable, so it is never taken for idle. If active_
// leaves zero by somebody outside while the clock is about to move, the clock moves first: nobody could tell the difference.
// No lost move: each fall to zero is looked at by the one who caused it, and no other fall is possible meanwhile (2, 3).
// Time moves only when all members are blocked, so whatever they did before happens before whatever runs at the next instant
// (hb_release in parks() and member_ended(), hb_acquire where the clock moves and in goes_on()).
// Type-stable: the memory of a world is never given back, so that a timer may outlive its bubble.
// Rejected: a scheduler of its own for the members; it would have been a second way to park and wake.
#pragma once

#include "sched/agent.hpp"
#include "sched/control.hpp"
#include "sched/timer_heap.hpp"

namespace runnel::inline RUNNEL_ABI::sched {

class world {
 public:
  /// 2000-01-01 00:00 UTC, on both clocks.
  static constexpr time_point epoch{std::chrono::seconds(946'684'800)};

  /// A world at its epoch; the caller is its keeper and counts in it.
  static world& open();
  /// Gives it back. Its timers are disarmed, fibers that were reserved and not started leave it; members that are left were
  /// abandoned, and it is then kept for good.
  void close(bool abandoned) noexcept;

  time_point now() const noexcept {
    // relaxed: written while no member runs; active_ orders it
    return time_point(time_point::duration(now_ns_.load(shim::order::relaxed)));
  }
  /// From 1; shared with older worlds once the numbers are used up.
  std::uint32_t number() const noexcept { return number_; }

  // Members, on their fibers or where they are made runnable.
  /// f's wait was claimed. True: the caller makes it runnable, false: the control does.
  bool wakes(fiber& f) noexcept {
    if (controlled_by) {
      controlled_by->ready(f);
      return false;
    }
    enter();
    return true;
  }
  /// A fiber is reserved here, or given back without having been started.
  void reserves(std::ptrdiff_t change) noexcept {
    reserved_.fetch_add(change, shim::order::relaxed);  // relaxed: a count for close()
  }
  /// As wakes(), for a new member.
  bool member_starts(fiber& f) noexcept {
    members_.fetch_add(1, shim::order::relaxed);  // relaxed: a member that is active starts it
    reserves(-1);
    if (controlled_by) controlled_by->starts(f);
    return wakes(f);
  }
  /// After everything that its end does.
  void member_ended() noexcept;
  void parks(fiber& f, bool outside) noexcept;
  void goes_on(fiber& f, bool outside) noexcept;

  // The keeper.
  std::size_t members() const noexcept {
    return members_.load(shim::order::acquire);  // acquire: pairs with member_ended()
  }
  /// `w` is claimed and woken when the world is idle and its clock does not move; the keeper no longer counts, and does again
  /// once w has been claimed.
  void tell(waiter& w) noexcept;
  /// What the members did before they parked or ended happens before this.
  void see_members() const noexcept;
  /// Takes tell() back; the keeper counts again.
  void untell() noexcept;
  /// From now on an idle world stays at its instant, or goes on again.
  void hold_time(bool still) noexcept;

  // The control, where there is one.
  /// Whether firing a timer may lead to anything.
  bool clock_may_move() noexcept;
  /// Fires the first timer, at its deadline.
  void move_clock_once() noexcept;
  /// A member has the turn: what was barren may bear fruit again.
  void somebody_runs() noexcept;
  /// Nobody can go on: the keeper has the turn.
  void wake_keeper() noexcept;

  timer_heap timers;

  /// Who decides what happens next; null: the workers. Set before the first member starts.
  control* controlled_by = nullptr;

  /// Canceled when everybody has to go; what members wait for observes it beside their own contexts. The keeper's.
  detail::context_node* ending = nullptr;

 private:
  world() noexcept = default;
  void enter() noexcept {
    active_.fetch_add(1, shim::order::relaxed);  // relaxed: who does it is active itself or outside, see invariant 1
  }
  void exit() noexcept;
  void fire_one(aftermath& after) noexcept;
  bool move_clock(aftermath& after) noexcept;

  shim::atomic<std::int64_t> active_{0};
  shim::atomic<std::size_t> members_{0};
  shim::atomic<std::ptrdiff_t> reserved_{0};
  shim::atomic<std::int64_t> now_ns_{0};
  std::uint32_t number_ = 0;
  // Under the lock of `timers`.
  waiter* keeper_ = nullptr;
  bool still_ = false;
  std::uint32_t period_ = 0;  ///< of idleness
  std::size_t barren_ = 0;    ///< armed timers that fired in this period, to no effect
  world* next_ = nullptr;     ///< link of the free list
};

/// What the caller starts and arms in this scope belongs to w.
class world_scope {
 public:
  explicit world_scope(world& w) noexcept : agent_(this_agent()), outer_(agent_.lives_in) { agent_.lives_in = &w; }
  ~world_scope() { agent_.lives_in = outer_; }
  world_scope(const world_scope&) = delete;
  world_scope& operator=(const world_scope&) = delete;

 private:
  agent& agent_;
  world* outer_;
};

}  // namespace runnel::inline RUNNEL_ABI::sched
