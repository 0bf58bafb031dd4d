// The clock of a world, and when it moves. See world.hpp.
#include "sched/world.hpp"

#include "base/kernel_clock.hpp"
#include "sched/fiber_pool.hpp"

#include <cstdlib>
#include <new>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

time_point steady_clock::now() noexcept {
  const sched::world* w = sched::this_world();
  return w ? w->now() : detail::kernel_now();
}

std::chrono::system_clock::time_point detail::system_now() noexcept {
  const sched::world* w = sched::this_world();
  if (!w) return kernel_system_now();
  return std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(w->now().time_since_epoch()));
}

}  // namespace runnel::inline RUNNEL_ABI

namespace runnel::inline RUNNEL_ABI::sched {

using detail::sanitizer::hb_acquire;
using detail::sanitizer::hb_release;

namespace {

detail::raw_lock pool_lock;
world* pool = nullptr;                    // under pool_lock
std::uint32_t last_number = 0;            // under pool_lock
shim::atomic<std::size_t> open_worlds{0};

}  // namespace

std::uint32_t number_of_this_world() noexcept {
  if (open_worlds.load(shim::order::relaxed) == 0) return 0;  // relaxed: a member was started after its world was opened
  const world* w = this_world();
  return w ? w->number() : 0;
}

world& world::open() {
  detail::raw_guard hold(pool_lock);
  world* w = pool;
  if (w) {
    pool = w->next_;
  } else {
    // Outside operator new: it is never freed, and a program that counts its allocations should not see a leak.
    void* memory = std::malloc(sizeof(world));
    if (!memory) throw std::bad_alloc();
    w = new (memory) world;
  }
  if (++last_number == 0) ++last_number;
  w->number_ = last_number;
  // relaxed: published to members by their start
  w->now_ns_.store(epoch.time_since_epoch().count(), shim::order::relaxed);
  w->active_.store(1, shim::order::relaxed);
  w->still_ = false;
  w->controlled_by = nullptr;
  ++w->period_;
  w->barren_ = 0;
  open_worlds.fetch_add(1, shim::order::relaxed);  // relaxed: a count
  return *w;
}

void world::close(bool abandoned) noexcept {
  open_worlds.fetch_sub(1, shim::order::relaxed);  // relaxed: a count
  ending = nullptr;
  controlled_by = nullptr;
  // relaxed: whoever counts up or down is over, or belongs to the outside and starts too late to belong here
  if (reserved_.exchange(0, shim::order::relaxed) != 0)
    for_each_fiber([this](fiber& f) {
      // relaxed: as above
      if (f.lives_in == this && f.state.load(shim::order::relaxed) == fiber_state::reserved) f.lives_in = nullptr;
    });
  {
    detail::raw_guard hold(timers.lock);
    while (timer_node* n = timers.first()) timers.take_out(*n);
  }
  if (abandoned) return;
  detail::raw_guard hold(pool_lock);
  next_ = pool;
  pool = this;
}

void world::parks(fiber& f, bool outside) noexcept {
  hb_release(&active_);
  if (controlled_by) return controlled_by->parks(f, outside);
  if (outside) enter();
  exit();
}

void world::goes_on(fiber& f, bool outside) noexcept {
  if (controlled_by) return controlled_by->goes_on(f, outside);
  hb_acquire(&now_ns_);
  if (outside) exit();
}

void world::member_ended() noexcept {
  hb_release(&active_);
  members_.fetch_sub(1, shim::order::release);  // release: pairs with members()
  if (controlled_by) return controlled_by->ended();
  exit();
}

void world::exit() noexcept {
  std::int64_t seen = active_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (seen > 1) {
    // release: what was done here happens before the clock moves
    if (active_.compare_exchange(seen, seen - 1, shim::order::release, shim::order::relaxed)) return;
  }
  for (;;) {
    aftermath after;
    waiter* keeper = nullptr;
    {
      detail::raw_guard hold(timers.lock);
      // acq_rel: whoever makes it zero sees what all the others did
      if (active_.fetch_sub(1, shim::order::acq_rel) != 1) return;
      if (move_clock(after)) {
        enter();  // as the one who moves it (invariant 3)
      } else {
        if (keeper_ && keeper_->try_claim(granted)) {  // else it is being canceled, and calls untell()
          keeper = std::exchange(keeper_, nullptr);
          enter();  // the keeper counts again
        }
      }
    }
    if (after.empty()) {
      if (keeper) keeper->wake();
      return;
    }
    after.run();
  }
}

/// Fires until somebody has something to do. False: nothing would ever come of it, or time is held.
bool world::move_clock(aftermath& after) noexcept {
  if (still_) return false;
  hb_acquire(&active_);
  hb_release(&now_ns_);
  ++period_;
  barren_ = 0;
  while (after.empty() && timers.first() && barren_ < timers.size()) {
    do fire_one(after);
    while (timers.first() && timers.first()->deadline <= now());
  }
  return !after.empty();
}

/// Under the lock of `timers`, of which there is one.
void world::fire_one(aftermath& after) noexcept {
  const time_point due = timers.first()->deadline;
  // relaxed: see now()
  if (due > now()) now_ns_.store(due.time_since_epoch().count(), shim::order::relaxed);
  timer_node* again = timers.fire_first(now(), after);
  if (!again || again->barren == period_) return;
  again->barren = period_;
  ++barren_;
}

bool world::clock_may_move() noexcept {
  detail::raw_guard hold(timers.lock);
  return timers.first() && barren_ < timers.size();
}

void world::move_clock_once() noexcept {
  aftermath after;
  {
    detail::raw_guard hold(timers.lock);
    if (timers.first()) fire_one(after);
  }
  after.run();
}

void world::somebody_runs() noexcept {
  detail::raw_guard hold(timers.lock);
  ++period_;
  barren_ = 0;
}

void world::wake_keeper() noexcept {
  waiter* keeper = nullptr;
  {
    detail::raw_guard hold(timers.lock);
    if (keeper_ && keeper_->try_claim(granted)) keeper = std::exchange(keeper_, nullptr);
  }
  if (keeper) keeper->wake();
}

void world::tell(waiter& w) noexcept {
  {
    detail::raw_guard hold(timers.lock);
    keeper_ = &w;
  }
  if (controlled_by) return controlled_by->keeper_waits();
  exit();
}

void world::see_members() const noexcept { hb_acquire(&active_); }

void world::untell() noexcept {
  detail::raw_guard hold(timers.lock);
  if (keeper_) enter();
  keeper_ = nullptr;
}

void world::hold_time(bool still) noexcept {
  detail::raw_guard hold(timers.lock);
  still_ = still;
}

}  // namespace runnel::inline RUNNEL_ABI::sched
