// A worker's fibers that have not begun yet: the owner takes the newest, thieves take the oldest. So a tree of tasks is
// worked through depth first, in the caches and with few stacks, and a thief gets the largest subtree.
// How it is done, and every order: <runnel/detail/deque_core.hpp>.
#pragma once

#include "base/sizes.hpp"
#include "sched/agent.hpp"

#include <runnel/detail/deque_core.hpp>

namespace runnel::inline RUNNEL_ABI::sched {

class spawn_deque : private detail::deque_core<fiber*, detail::bounded_slots<fiber*, sizes::ring>> {
  using core = detail::deque_core<fiber*, detail::bounded_slots<fiber*, sizes::ring>>;

 public:
  static constexpr std::uint64_t capacity = sizes::ring;

  explicit spawn_deque(bool shared = true) noexcept : core(shared) {}

  using core::empty;
  using core::push;
  using core::size;

  /// Owner: the newest, or null.
  fiber* pop() noexcept {
    fiber* f = nullptr;
    return core::pop(f) ? f : nullptr;
  }

  /// Anybody: the oldest, or null when there is none or another was faster.
  fiber* steal() noexcept {
    fiber* f = nullptr;
    return core::steal(f) ? f : nullptr;
  }

  /// Owner, when full: takes the older half out, linked through fiber::next; first, last and count. Null: thieves have made
  /// room.
  fiber* take_half(fiber*& last, std::uint64_t& n) noexcept {
    fiber* first = nullptr;
    n = core::take_half([&](fiber* f) {
      if (first) {
        last->next = f;
      } else {
        first = f;
      }
      last = f;
    });
    return first;
  }
};

}  // namespace runnel::inline RUNNEL_ABI::sched
