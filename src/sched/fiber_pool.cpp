#include "sched/fiber_pool.hpp"

#include "fiber/switch.hpp"
#include "sched/fork.hpp"
#include "sched/runtime.hpp"
#include "sched/world.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

// Fibers that nobody uses and no worker keeps for itself; under the lock.
struct free_list {
  detail::raw_lock lock;
  fiber* used = nullptr;       ///< those whose stacks hold memory, the last one put back first
  fiber* bare = nullptr;       ///< those that are new or have been trimmed
  std::size_t used_count = 0;
  std::size_t least_used = 0;  ///< the lowest used_count since the last mark_idle_stacks(): so many were not needed
  std::size_t to_trim = 0;
};
free_list free_lists[4];
free_list& list_of(stack_class c) noexcept { return free_lists[static_cast<std::size_t>(c)]; }
shim::atomic<std::uint64_t> last_id{0};

// How many fibers have been started and have ended: each worker counts for itself, whoever is none with the others.
struct alignas(64) tally {
  shim::atomic<std::uint64_t> started{0};
  shim::atomic<std::uint64_t> ended{0};
};
tally of_worker[runtime::max_workers];
tally of_others;

/// w: the caller's counting_worker().
void count_one(shim::atomic<std::uint64_t> tally::*which, const worker* w) noexcept {
  if (w) {
    auto& own = of_worker[w->index()].*which;
    // relaxed: only this thread writes it; release: what has ended was started before, see live_fibers()
    own.store(own.load(shim::order::relaxed) + 1, shim::order::release);
  } else {
    (of_others.*which).fetch_add(1, shim::order::release);  // release: as above
  }
}

// A slab may become visible to for_each_fiber before its records are constructed: zeroed memory is a valid
// `unused` state, and nothing else of such a record is read.
static_assert(static_cast<int>(fiber_state::unused) == 0);

/// A new slab's fibers as a list.
fiber* grow(stack_class c) noexcept {
  detail::slab* s = detail::map_slab(c, sizeof(fiber));
  if (!s) return nullptr;
  auto* fibers = static_cast<fiber*>(s->records);
  for (std::size_t i = 0; i < s->slots; ++i) {
    fiber* f = new (&fibers[i]) fiber;
    f->size_class = c;
    f->checks_stack = s->guard == detail::guard_kind::software;
    if (s->base) f->stack_top = s->slot(i) + stack_bytes(c);
    f->next = i + 1 < s->slots ? &fibers[i + 1] : nullptr;
  }
  return fibers;
}

/// Puts the list from `first` to `last` in front of those without memory.
void put_back_bare(fiber* first, fiber* last, stack_class c) noexcept {
  free_list& list = list_of(c);
  detail::raw_guard hold(list.lock);
  last->next = list.bare;
  list.bare = first;
}
/// Puts the list of `n` from `first` to `last`, whose stacks have been used, in front of the free ones.
void put_back(fiber* first, fiber* last, std::size_t n, stack_class c) noexcept {
  if (detail::sanitizer::fresh_stacks) return put_back_bare(first, last, c);  // they have no stack any more
  free_list& list = list_of(c);
  detail::raw_guard hold(list.lock);
  last->next = list.used;
  list.used = first;
  list.used_count += n;
}

/// Cuts the first 1 to `most` off a list that is not empty; sets how many.
fiber* cut(fiber*& from, std::size_t most, std::size_t& n) noexcept {
  fiber* first = from;
  fiber* last = first;
  for (n = 1; n < most && last->next; ++n) last = last->next;
  from = std::exchange(last->next, nullptr);
  return first;
}

/// A list of 1 to `most` fibers, and how many; null when memory is short.
fiber* take(stack_class c, std::size_t most, std::size_t& n) noexcept {
  free_list& list = list_of(c);
  {
    detail::raw_guard hold(list.lock);
    if (list.used) {
      fiber* first = cut(list.used, most, n);
      list.used_count -= n;
      list.least_used = std::min(list.least_used, list.used_count);
      return first;
    }
    if (list.bare) return cut(list.bare, most, n);
  }
  fiber* rest = grow(c);
  if (!rest) return nullptr;
  fiber* first = cut(rest, most, n);
  if (rest) {
    fiber* last = rest;
    while (last->next) last = last->next;
    put_back_bare(rest, last, c);
  }
  return first;
}

}  // namespace

worker* counting_worker() noexcept {
  worker* w = this_worker();
  return w && !w->left_to_its_fiber() ? w : nullptr;
}
detail::raw_lock& lock_of_free_fibers(std::size_t size_class) noexcept { return free_lists[size_class].lock; }

// ---- a worker's own ----------------------------------------------------------------------------------------------

namespace {
/// By class: of large stacks less is kept warm.
constexpr std::size_t most_kept[] = {64, 64, 16, 4};
constexpr std::uint64_t ids_at_once = 64;
}  // namespace

fiber_cache::~fiber_cache() {
  for (list& l : lists_)
    while (fiber* f = l.first) {
      l.first = f->next;
      sched::put_back(f, f, 1, f->size_class);
    }
}

fiber* fiber_cache::take(stack_class c) noexcept {
  list& l = lists_[static_cast<std::size_t>(c)];
  if (!l.first) l.first = sched::take(c, most_kept[static_cast<std::size_t>(c)] / 2, l.size);
  fiber* f = l.first;
  if (!f) return nullptr;
  l.first = f->next;
  --l.size;
  return f;
}

// The hottest comes first, and the coldest half goes where others find it.
void fiber_cache::put_back(fiber* f) noexcept {
  const auto c = static_cast<std::size_t>(f->size_class);
  list& l = lists_[c];
  f->next = l.first;
  l.first = f;
  if (++l.size <= most_kept[c]) return;
  const std::size_t stay = most_kept[c] / 2;
  fiber* last_kept = f;
  for (std::size_t i = 1; i < stay; ++i) last_kept = last_kept->next;
  fiber* first = std::exchange(last_kept->next, nullptr);
  fiber* last = first;
  while (last->next) last = last->next;
  sched::put_back(first, last, l.size - stay, f->size_class);
  l.size = stay;
}

std::uint64_t fiber_cache::next_id() noexcept {
  if (next_id_ == end_of_ids_) {
    next_id_ = last_id.fetch_add(ids_at_once, shim::order::relaxed) + 1;  // relaxed: only uniqueness matters
    end_of_ids_ = next_id_ + ids_at_once;
  }
  return next_id_++;
}

// ---- fibers ------------------------------------------------------------------------------------------------------

fiber* reserve_fiber(stack_class c, std::string_view name, const detail::site& at) {
  worker* w = counting_worker();
  if (!w) runtime::instance().ensure_started();
  std::size_t one = 0;
  fiber* f = w ? w->fibers.take(c) : take(c, 1, one);
  if (!f) throw std::bad_alloc();
  if (detail::sanitizer::fresh_stacks) {
    const detail::single_stack s = detail::map_single(c);
    if (!s.base) {
      put_back_bare(f, f, c);
      throw std::bad_alloc();
    }
    f->stack_top = s.base + stack_bytes(c);
    f->own_stack = s.guard;
    f->checks_stack = s.guard == detail::guard_kind::software;
  }
  // relaxed: only uniqueness matters
  f->label.set(w ? w->fibers.next_id() : last_id.fetch_add(1, shim::order::relaxed) + 1, name, at);
  f->ambient = nullptr;
  f->innermost = nullptr;
  f->shields = 0;
  f->swallowed = 0;
  f->sections_without_parking = 0;
  f->locals = nullptr;
  f->listens_to = nullptr;
  f->forks = nullptr;
  const fiber* caller = w ? w->running() : nullptr;
  f->lives_in = caller ? caller->lives_in : this_world();
  if (f->lives_in) f->lives_in->reserves(+1);
  f->state.store(fiber_state::reserved, shim::order::release);  // release: publishes the description to reports
  return f;
}

void start_fiber(fiber* f, job& work) noexcept {
  if constexpr (detail::sanitizer::names_fibers) detail::sanitizer::create(f->sanitizer, f->label.read().name);
  f->work.store(&work, shim::order::relaxed);  // relaxed: as saved_sp below
  worker* w = counting_worker();
  count_one(&tally::started, w);
  f->saved_sp.store(not_begun(), shim::order::relaxed);  // relaxed: published with the fiber itself through the run queue
  f->state.store(fiber_state::runnable, shim::order::relaxed);  // relaxed: for reports
  if (f->lives_in && !f->lives_in->member_starts(*f)) return;
  runtime::instance().schedule_new(f, w);
}

const job* current_job() noexcept {
  worker* const w = this_worker();
  const fiber* const f = w ? w->running() : nullptr;
  return f ? f->work.load(shim::order::relaxed) : nullptr;  // relaxed: the caller's own
}

// A fiber that begins exchanges its stack for the one that was in use a moment ago: so many fibers that are started at once
// and end soon use few stacks, and those are in the caches. Each record still has a stack of its own at any time.
void* begin_fiber(fiber& f, fiber_cache& cache) noexcept {
  if (fiber* hot = detail::sanitizer::fresh_stacks ? nullptr : cache.hottest(f.size_class)) {
    std::swap(f.stack_top, hot->stack_top);
    std::swap(f.checks_stack, hot->checks_stack);
  }
  detail::sanitizer::bind(f.sanitizer, f.stack_bottom(), static_cast<std::size_t>(f.stack_top - f.stack_bottom()));
  // Stacks of neighbouring slots would otherwise compete for the same cache sets: start them up to 1 KiB apart.
  const std::size_t slot = reinterpret_cast<std::uintptr_t>(f.stack_top) / stack_bytes(f.size_class);
  return detail::prepare_stack(f.stack_top - slot % 16 * 64, &f);
}

void release_fiber(fiber* f) noexcept {
  const bool started = f->work.load(shim::order::relaxed) != nullptr;  // relaxed: ours
  if (started) {
    detail::sanitizer::destroy(f->sanitizer);
  } else if (f->lives_in) {
    f->lives_in->reserves(-1);
  }
  if (detail::sanitizer::fresh_stacks)
    detail::unmap_single({f->stack_top - stack_bytes(f->size_class), f->own_stack}, f->size_class);
  const bool counted = started && f->state.load(shim::order::relaxed) != fiber_state::abandoned;  // relaxed: ours
  f->work.store(nullptr, shim::order::relaxed);                 // relaxed: for reports
  f->state.store(fiber_state::unused, shim::order::relaxed);  // relaxed: for reports
  worker* w = counting_worker();
  if (w) {
    w->fibers.put_back(f);
  } else {
    put_back(f, f, 1, f->size_class);
  }
  if (counted) count_one(&tally::ended, w);
}

// ---- trimming ----------------------------------------------------------------------------------------------------

// Which of the used ones are trimmed does not matter, how many stay does: as many as were needed since the last look. The
// whole stack goes: one that nobody has wanted for so long costs a page fault when it is wanted again, and kept it would
// cost a page for ever.
void mark_idle_stacks() noexcept {
  for (free_list& list : free_lists) {
    detail::raw_guard hold(list.lock);
    list.to_trim = std::exchange(list.least_used, list.used_count);
  }
}

bool trim_idle_stacks(std::size_t most) noexcept {
  constexpr std::size_t at_once = 32;
  for (free_list& list : free_lists) {
    for (;;) {
      std::size_t n = 0;
      fiber* first;
      {
        detail::raw_guard hold(list.lock);
        list.to_trim = std::min(list.to_trim, list.used_count);
        if (list.to_trim == 0) break;
        if (most == 0) return true;
        first = cut(list.used, std::min({at_once, most, list.to_trim}), n);
        list.used_count -= n;
        list.least_used = std::min(list.least_used, list.used_count);
        list.to_trim -= n;
      }
      fiber* last = first;
      for (fiber* f = first; f; f = f->next) {
        detail::drop_pages(f->stack_bottom(), f->stack_top);
        last = f;
      }
      put_back_bare(first, last, first->size_class);
      most -= n;
    }
  }
  return false;
}

bool any_idle_stacks() noexcept {
  for (free_list& list : free_lists) {
    detail::raw_guard hold(list.lock);
    if (list.used_count != 0) return true;
  }
  return false;
}

// ------------------------------------------------------------------------------------------------------------------

// First what has ended, then what was started: a fiber that is missed in the first sum may have ended by the second, but
// one that is counted in the first is counted in the second too. So 0 means that at some instant there was none.
std::size_t live_fibers() noexcept {
  std::uint64_t ended = of_others.ended.load(shim::order::acquire);  // acquire: pairs with count()
  for (const tally& t : of_worker) ended += t.ended.load(shim::order::acquire);  // acquire: as above
  std::uint64_t started = of_others.started.load(shim::order::acquire);          // acquire: as above
  for (const tally& t : of_worker) started += t.started.load(shim::order::acquire);  // acquire: as above
  return static_cast<std::size_t>(started - ended);
}

namespace {
/// Those who wait for the last fiber. Made at the first use and kept: fibers may run before and after main().
struct drain_object : wait_object {
  wait_queue waiters;  // under the lock
};
drain_object& drained() {
  alignas(drain_object) static unsigned char storage[sizeof(drain_object)];
  static drain_object& o = *new (storage) drain_object;
  return o;
}
shim::atomic<std::uint32_t> drain_waiting{0};
}  // namespace

bool wait_until_none_live(time_point deadline) noexcept {
  waiter w;
  wait_node n(w);
  {
    detail::raw_guard hold(drained().lock);
    drain_waiting.fetch_add(1, shim::order::relaxed);  // relaxed: ordered by the fence
    drained().waiters.push_back(n);
  }
  // seq_cst: "waiting, then is any left" against "ended, idle, then is anybody waiting for that": the last fiber's worker
  // goes idle after it, and passes a fence on its way
  shim::fence(shim::order::seq_cst);
  if (live_fibers() != 0 || !w.try_claim(granted)) park(w, wait_reason::root_join, nullptr, deadline);
  detail::raw_guard hold(drained().lock);
  drained().waiters.remove(n);
  drain_waiting.fetch_sub(1, shim::order::relaxed);  // relaxed: a waiter too many is only looked for
  return live_fibers() == 0;
}

void notice_idleness() noexcept {
  // relaxed: ordered by the caller's fence
  if (drain_waiting.load(shim::order::relaxed) != 0 && live_fibers() == 0) give_up_waiting();
}

void give_up_waiting() noexcept {
  wake_list woken;
  {
    detail::raw_guard hold(drained().lock);
    woken.claim_all(drained().waiters);
  }
  woken.wake_all();
}

std::size_t abandon_fibers(const world* of) noexcept {
  std::size_t n = 0;
  for_each_fiber([&](fiber& f) {
    if (of && f.lives_in != of) return;
    // relaxed: called when no worker runs. A reserved one belongs to its handle.
    const fiber_state s = f.state.load(shim::order::relaxed);
    if (s == fiber_state::abandoned || s == fiber_state::reserved) return;
    f.state.store(fiber_state::abandoned, shim::order::relaxed);  // relaxed: as above
    ++n;
  });
  of_others.ended.fetch_add(n, shim::order::release);  // release: as in count()
  return n;
}

}  // namespace runnel::inline RUNNEL_ABI::sched
