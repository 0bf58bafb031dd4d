// Timers: one ordered queue for the whole runtime, and one for each bubble of virtual time; a node stands in the object
// that waits.
//
// Use it for anything that must happen at an instant. Nothing is allocated; arm is O(1), disarm O(log n) amortized.
// Source: the intrusive pairing heap of Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap" (1986),
// https://doi.org/10.1007/BF01840439.
#pragma once

#include <runnel/base/clock.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace runnel::inline RUNNEL_ABI::sched {

class wake_list;
class world;

/// Work that a firing timer leaves for after the timer lock is released. Linked, not allocated.
struct deferred {
  void (*run)(deferred*) noexcept = nullptr;
  deferred* next = nullptr;
};

struct timer_node {
  /// Called at the deadline, `now` or before, under the timer lock: claims a waiter into `woken`, fills a slot, and nothing
  /// longer. What it returns is run after the lock is released; `n` itself is not touched by then. May change `deadline` and
  /// set `again` to be armed anew.
  using fire_function = deferred* (*)(timer_node& n, time_point now, wake_list& woken) noexcept;

  explicit timer_node(fire_function f) noexcept : fire(f) {}
  timer_node(const timer_node&) = delete;
  timer_node& operator=(const timer_node&) = delete;

  fire_function fire;
  time_point deadline{};
  bool again = false;
  world* home = nullptr;  ///< whose clock it follows, null: the real one; set by arm(), the node's alone until it is shared

  // Under the timer lock only.
  timer_node* child = nullptr;
  timer_node* sibling = nullptr;
  timer_node* previous = nullptr;  ///< left sibling, or the parent of a first child
  bool armed = false;
  std::uint32_t barren = 0;  ///< a bubble's: the idle period in which it fired to no effect
};

/// Fires n at `deadline` of the caller's clock. n must not be armed; starts the default runtime where none runs.
void arm(timer_node& n, time_point deadline);

/// After it returns n is not armed and its fire function does not run. True when it was still armed.
bool disarm(timer_node& n) noexcept;

/// Moves n to `deadline` whether armed or not, or disarms it; true when it was armed. Calls prepare(n, argument) under the
/// timer lock between the two. Throws misuse when there is a deadline, be it `never`, and the caller's clock is not the one
/// that n was armed by.
bool rearm(timer_node& n, std::optional<time_point> deadline,
           void (*prepare)(timer_node&, void* argument) noexcept, void* argument);

/// Timers of the caller's clock that are armed at this moment.
std::size_t armed_timers() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
