#include "sched/idle_set.hpp"

namespace runnel::inline RUNNEL_ABI::sched {

void idle_set::notify() noexcept {
  for (;;) {
    // seq_cst: closes the store-load race "work pushed, then idle read" against enter() and the last look.
    shim::fence(shim::order::seq_cst);
    if (sleeping_.load(shim::order::relaxed) == 0) return;   // relaxed: ordered by the fence
    if (searching_.load(shim::order::relaxed) != 0) return;  // relaxed: ordered by the fence
    std::uint32_t none = 0;
    // relaxed: one producer of many becomes the waker, and hands over by take() and wake(); on failure: another one is
    if (!searching_.compare_exchange(none, 1, shim::order::relaxed, shim::order::relaxed)) return;
    if (worker* w = take()) {
      w->searching = true;
      w->wake();
      return;
    }
    // Nobody was idle after all. Another producer may have relied on this "search" meanwhile, and a worker gone to sleep
    // without seeing its work: look again.
    searching_.fetch_sub(1, shim::order::relaxed);  // relaxed: the fence above follows
  }
}

bool idle_set::begin_search(unsigned workers) noexcept {
  const std::uint32_t busy = workers - sleeping();
  if (2 * searching_.load(shim::order::relaxed) >= busy + 1) return false;  // relaxed: a throttle, not a promise
  join_search();
  return true;
}

bool idle_set::end_search() noexcept {
  return searching_.fetch_sub(1, shim::order::relaxed) == 1;  // relaxed: the caller's fence follows
}

void idle_set::enter(worker& w) noexcept {
  detail::raw_guard hold(lock_);
  w.next_idle = first_;
  first_ = &w;
  w.idle = true;
  sleeping_.fetch_add(1, shim::order::relaxed);  // relaxed: the caller's fence follows, see notify()
}

bool idle_set::withdraw(worker& w) noexcept {
  detail::raw_guard hold(lock_);
  if (!w.idle) return false;
  for (worker** at = &first_; *at; at = &(*at)->next_idle) {
    if (*at != &w) continue;
    *at = w.next_idle;
    break;
  }
  w.idle = false;
  sleeping_.fetch_sub(1, shim::order::relaxed);  // relaxed: a worker too many in the count is only looked for
  return true;
}

worker* idle_set::take() noexcept {
  detail::raw_guard hold(lock_);
  if (!first_) return nullptr;
  // Rather one that sleeps in the futex: the one in the poller looks after timers and descriptors.
  worker** at = &first_;
  while ((*at)->in_the_poller() && (*at)->next_idle) at = &(*at)->next_idle;
  worker* w = *at;
  *at = w->next_idle;
  w->idle = false;
  sleeping_.fetch_sub(1, shim::order::relaxed);  // relaxed: as in withdraw()
  return w;
}

void idle_set::wake_all() noexcept {
  while (worker* w = take()) w->wake();
}

}  // namespace runnel::inline RUNNEL_ABI::sched
