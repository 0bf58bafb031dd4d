// The timers of the real clock, and the ways into the heap that a node lives in. One lock guards each heap.
//
// Invariant (under the lock): next_ns equals the first deadline of the real clock's heap, or `never`; it is read without
// the lock as a hint and, seq_cst, by the poller.
// A node follows one clock for all its life: `home` is set by arm() before others know the node, so that disarm() by
// anybody finds the right heap. A world's memory is never given back, so a node may outlive its bubble.
#include "sched/fork.hpp"
#include "sched/poll.hpp"
#include "sched/runtime.hpp"
#include "sched/timer_heap.hpp"
#include "sched/world.hpp"

#include <runnel/error.hpp>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

timer_heap real;
shim::atomic<std::int64_t> next_ns{never.time_since_epoch().count()};

timer_heap& heap_of(const timer_node& n) noexcept { return n.home ? n.home->timers : real; }

void publish_next() noexcept {
  const time_point t = real.first() ? real.first()->deadline : never;
  next_ns.store(t.time_since_epoch().count(), shim::order::seq_cst);  // seq_cst: see poll.hpp, no lost timer
}

}  // namespace

detail::raw_lock& lock_of_timers() noexcept { return real.lock; }

void arm(timer_node& n, time_point deadline) {
  runtime::instance().ensure_started();
  n.home = this_world();
  bool first = false;
  {
    timer_heap& heap = heap_of(n);
    detail::raw_guard hold(heap.lock);
    heap.insert(n, deadline);
    first = !n.home && real.first() == &n;
    if (first) publish_next();
  }
  if (first) timer_moved_up(deadline);
}

bool disarm(timer_node& n) noexcept {
  timer_heap& heap = heap_of(n);
  detail::raw_guard hold(heap.lock);
  if (!n.armed) return false;
  const bool first = heap.first() == &n;
  heap.take_out(n);
  if (first && !n.home) publish_next();
  return true;
}

bool rearm(timer_node& n, std::optional<time_point> deadline, void (*prepare)(timer_node&, void*) noexcept,
           void* argument) {
  if (deadline) {
    if (this_world() != n.home)
      detail::throw_misuse("runnel::timer: a timer of a bubble is reset outside of it, or one from outside within; make one there");
    runtime::instance().ensure_started();
  }
  bool was, first = false;
  {
    timer_heap& heap = heap_of(n);
    detail::raw_guard hold(heap.lock);
    was = n.armed;
    if (was) heap.take_out(n);
    prepare(n, argument);
    if (deadline) heap.insert(n, *deadline);
    if (!n.home) {
      first = deadline && heap.first() == &n;
      publish_next();
    }
  }
  if (first) timer_moved_up(*deadline);
  return was;
}

void run_due_timers() noexcept {
  if (next_timer() == never) return;
  const time_point now = steady_clock::now();
  if (next_timer() > now) return;
  aftermath after;
  {
    detail::raw_guard hold(real.lock);
    while (real.first() && real.first()->deadline <= now) real.fire_first(now, after);
    publish_next();
  }
  after.run();
}

time_point next_timer() noexcept {
  // seq_cst: see poll.hpp, no lost timer; elsewhere a hint
  return time_point(time_point::duration(next_ns.load(shim::order::seq_cst)));
}

std::size_t armed_timers() noexcept {
  world* w = this_world();
  timer_heap& heap = w ? w->timers : real;
  detail::raw_guard hold(heap.lock);
  return heap.size();
}

}  // namespace runnel::inline RUNNEL_ABI::sched
