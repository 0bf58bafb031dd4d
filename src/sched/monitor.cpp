#include "sched/monitor.hpp"

#include "base/futex.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/fiber_pool.hpp"
#include "sched/poll.hpp"
#include "sched/report.hpp"
#include "sched/runtime.hpp"
#include "sched/signals.hpp"

#include <runnel/base/assert.hpp>

#include <dirent.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <thread>
#include <utility>
#include <vector>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

constexpr std::chrono::milliseconds shortest_tick{1};
constexpr std::chrono::milliseconds longest_tick{10};
constexpr int quiet_looks_before_sleep = 3;
constexpr std::chrono::seconds between_looks_at_threads{1};
constexpr std::chrono::seconds idle_stack_limit{1};
constexpr std::size_t trimmed_at_once = 1024;  // about a millisecond's work

constexpr std::uint32_t active = 0, asleep = 1, leaving = 2;

/// What has a destructor is made at the first use and kept: the default runtime may end after the statics of this file.
struct kept_state {
  std::thread thread;
  detail::raw_lock lock;
  std::vector<std::pair<std::uint64_t, deadlock_handler>> handlers;  // under the lock
  std::uint64_t last_handler = 0;                                    // under the lock
};
kept_state& kept() {
  alignas(kept_state) static unsigned char storage[sizeof(kept_state)];
  static kept_state& k = *new (storage) kept_state;
  return k;
}

shim::atomic<std::uint32_t> word{active};
shim::atomic<std::int64_t> hog_limit_ns{std::chrono::nanoseconds(std::chrono::seconds(1)).count()};
bool reported_deadlock = false;  // monitor thread only

std::size_t process_threads() {
  DIR* d = opendir("/proc/self/task");
  if (!d) return ~std::size_t{0};
  std::size_t n = 0;
  while (dirent* e = readdir(d)) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

bool only_own_threads(runtime& r) {
  std::size_t own = r.workers() + 1 + blocking_threads() + static_cast<std::size_t>(r.parked_threads());
  if (detail::sanitizer::fresh_stacks) ++own;  // TSan's own thread
  return process_threads() <= own;
}

void deal_with_deadlock(runtime& r) {
  const std::string report = describe_fibers("deadlock: nothing can ever run again");
  std::vector<std::pair<std::uint64_t, deadlock_handler>> asked;
  {
    detail::raw_guard hold(kept().lock);
    asked = kept().handlers;
  }
  for (auto h = asked.rbegin(); h != asked.rend(); ++h)
    if (h->second(report)) return;
  const bool end = only_own_threads(r);
  if (!everything_blocked()) return;  // a thread has come in meanwhile, which may have been counted among those that block
  if (end || !reported_deadlock) std::fputs(report.c_str(), stderr);
  reported_deadlock = true;
  if (end) std::abort();
}

/// A fiber that keeps its worker: frees what it keeps from others, and names it. `seen` is the time that passed since the last
/// look, as far as the monitor was there to see it: a machine that stood still has kept nobody.
bool look_at(worker& w, runtime& r, std::chrono::nanoseconds seen) {
  fiber* f = w.running();
  if (!f || w.ticks() != w.seen_ticks) {
    w.seen_ticks = w.ticks();
    w.kept = std::chrono::nanoseconds::zero();
    w.reported = false;
    return false;
  }
  w.kept += seen;
  bool moved = false;
  if (r.idle.sleeping() != 0) {
    if (w.queue.has_next()) {
      if (fiber* next = w.queue.exchange_next(nullptr)) r.inject(next, next, 1);
      moved = true;
    }
    if (moved || !w.queue.empty() || !w.spawned.empty() || !w.lane.deque.empty()) r.idle.notify();
  }
  const auto limit = std::chrono::nanoseconds(hog_limit_ns.load(shim::order::relaxed));  // relaxed: a setting
  if (!w.reported && w.kept >= limit) {
    w.reported = true;
    const fiber_label::text who = f->label.read();
    detail::report("fiber %llu%s%s%s, started at %s:%u, has kept worker %u for %lld ms without yielding; add "
                   "this_fiber::checkpoint() or yield() to its loop, or move the call to blocking()",
                   static_cast<unsigned long long>(who.id), who.name[0] ? " \"" : "", who.name, who.name[0] ? "\"" : "",
                   who.file, who.line, w.index(),
                   static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(w.kept).count()));
  }
  return moved;
}

/// Gives memory of stacks back that nobody has used for a while, some at each call.
class trimmer {
 public:
  /// The next call that may find something to do; `never` while no stack lies idle.
  time_point next() const noexcept { return more_ ? time_point::min() : any_idle_stacks() ? next_mark_ : never; }
  void work(time_point now) noexcept {
    if (now >= next_mark_) {
      mark_idle_stacks();
      next_mark_ = now + idle_stack_limit;
      more_ = true;
    }
    if (more_) more_ = trim_idle_stacks(trimmed_at_once);
  }

 private:
  time_point next_mark_ = steady_clock::now() + idle_stack_limit;
  bool more_ = false;
};

void monitor_main(runtime& r) {
  trimmer stacks;
  std::chrono::nanoseconds tick = shortest_tick;
  time_point last_look = steady_clock::now();
  int quiet = 0;
  std::uint64_t last_progress = 0;
  for (;;) {
    detail::futex_wait(word, active, steady_clock::now() + tick);
    if (word.load(shim::order::acquire) == leaving) return;  // acquire: pairs with stop_monitor()
    const time_point now = steady_clock::now();
    const auto seen = std::min<std::chrono::nanoseconds>(now - std::exchange(last_look, now), 2 * longest_tick);
    bool moved = false;
    std::uint64_t progress = 0;
    for (unsigned i = 0; i < r.workers(); ++i) {
      moved |= look_at(r.at(i), r, seen);
      progress += r.at(i).ticks();
    }
    const bool all_idle = r.idle.sleeping() == r.workers();
    if (!all_idle) {
      if (next_timer() <= now) run_due_timers();  // every worker is busy with something longer than a tick
      poll_descriptors();
    }
    stacks.work(now);
    quiet = all_idle && progress == last_progress ? quiet + 1 : 0;
    last_progress = progress;
    tick = moved ? std::chrono::nanoseconds(shortest_tick) : std::min<std::chrono::nanoseconds>(tick * 2, longest_tick);
    if (quiet < quiet_looks_before_sleep) continue;
    quiet = 0;
    bool threads_come = r.coming_threads() != 0;
    try {
      if (everything_blocked()) deal_with_deadlock(r);
    } catch (const std::bad_alloc&) {
      continue;  // no memory for the report: at another look
    }
    threads_come |= r.coming_threads() != 0 || (blocking_jobs() != 0 && r.parked_threads() != 0);
    std::uint32_t expected = active;
    // acq_rel: pairs with monitor_note_activity(); relaxed on failure: it is `leaving`, seen above
    if (!word.compare_exchange(expected, asleep, shim::order::acq_rel, shim::order::relaxed)) continue;
    shim::fence(shim::order::seq_cst);  // seq_cst: "asleep, then look whether all are" against "awake, then read asleep"
    if (r.idle.sleeping() == r.workers()) {
      while (word.load(shim::order::acquire) == asleep) {  // acquire: as above
        // A thread that goes on, by itself or when its blocking call ends, wakes nobody here, and may block for good then.
        const time_point again = threads_come ? steady_clock::now() + between_looks_at_threads : never;
        if (detail::futex_wait(word, asleep, std::min(stacks.next(), again))) continue;
        stacks.work(steady_clock::now());
        if (threads_come) break;
      }
    }
    expected = asleep;
    word.compare_exchange(expected, active, shim::order::acq_rel, shim::order::relaxed);  // acq_rel: as above
    tick = shortest_tick;
  }
}

}  // namespace

bool everything_blocked() noexcept {
  runtime& r = runtime::instance();
  const auto dispatches = [&r] {
    std::uint64_t n = 0;
    for (unsigned i = 0; i < r.workers(); ++i) n += r.at(i).ticks();
    return n;
  };
  const std::uint64_t before = dispatches();
  if (r.idle.sleeping() != r.workers() || r.work_visible()) return false;
  if (next_timer() != never || descriptor_waiters() != 0 || blocking_jobs() != 0) return false;
  if (signals_awaited() || r.coming_threads() != 0) return false;
  std::size_t blocked = 0;
  for_each_fiber([&](fiber& f) { blocked += is_blocked(f); });
  // A call in the blocking pool, say, may have ended since the first look, its fiber have run, made the next call and parked.
  return blocked != 0 && r.idle.sleeping() == r.workers() && dispatches() == before;
}

void start_monitor(runtime& r) {
  word.store(active, shim::order::relaxed);  // relaxed: the thread is created after it
  reported_deadlock = false;
  kept().thread = std::thread([&r] { monitor_main(r); });
}

void stop_monitor() noexcept {
  word.exchange(leaving, shim::order::acq_rel);  // acq_rel: pairs with the loads in monitor_main()
  detail::futex_wake(word, 1);
  kept().thread.join();
}

void monitor_note_activity() noexcept {
  shim::fence(shim::order::seq_cst);  // seq_cst: see monitor_main()
  std::uint32_t expected = asleep;
  if (word.load(shim::order::relaxed) != asleep) return;  // relaxed: ordered by the fence
  // acq_rel: one of several workers wakes it
  if (word.compare_exchange(expected, active, shim::order::acq_rel, shim::order::relaxed)) detail::futex_wake(word, 1);
}

void set_hog_limit(duration limit) noexcept {
  hog_limit_ns.store(limit.nanoseconds().count(), shim::order::relaxed);  // relaxed: a setting
}

std::uint64_t add_deadlock_handler(deadlock_handler h) {
  detail::raw_guard hold(kept().lock);
  kept().handlers.emplace_back(++kept().last_handler, std::move(h));
  return kept().last_handler;
}

void remove_deadlock_handler(std::uint64_t number) noexcept {
  detail::raw_guard hold(kept().lock);
  std::erase_if(kept().handlers, [=](const auto& h) { return h.first == number; });
}

}  // namespace runnel::inline RUNNEL_ABI::sched
