#include "sched/fiber_pool.hpp"

#include "fiber/switch.hpp"
#include "sched/runtime.hpp"
#include "sched/world.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

// Fibers that nobody uses and no worker keeps for itself.
struct free_list {
  detail::raw_lock lock;
  fiber* first = nullptr;
};
free_list free_lists[4];
shim::atomic<std::uint64_t> last_id{0};

// How many fibers have been started and have ended: each worker counts for itself, whoever is none with the others.
struct alignas(64) tally {
  shim::atomic<std::uint64_t> started{0};
  shim::atomic<std::uint64_t> ended{0};
};
tally of_worker[runtime::max_workers];
tally of_others;

void count(shim::atomic<std::uint64_t> tally::*which, std::uint64_t n) noexcept {
  if (const worker* w = counting_worker()) {
    auto& own = of_worker[w->index()].*which;
    // relaxed: only this thread writes it; release: what has ended was started before, see live_fibers()
    own.store(own.load(shim::order::relaxed) + n, shim::order::release);
  } else {
    (of_others.*which).fetch_add(n, shim::order::release);  // release: as above
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
    if (s->base) {
      f->stack_bottom = s->slot(i) + detail::guard_bytes(c);
      f->stack_top = s->slot(i) + stack_bytes(c);
    }
    f->next = i + 1 < s->slots ? &fibers[i + 1] : nullptr;
  }
  return fibers;
}

/// Puts the list from `first` to `last` in front of the free ones.
void put_back(fiber* first, fiber* last, stack_class c) noexcept {
  free_list& list = free_lists[static_cast<std::size_t>(c)];
  detail::raw_guard hold(list.lock);
  last->next = list.first;
  list.first = first;
}

/// A list of 1 to `most` fibers, and how many; null when memory is short.
fiber* take(stack_class c, std::size_t most, std::size_t& n) noexcept {
  free_list& list = free_lists[static_cast<std::size_t>(c)];
  fiber* first;
  fiber* last;
  fiber* rest;
  {
    detail::raw_guard hold(list.lock);
    first = last = list.first;
    for (n = first ? 1 : 0; last && n < most && last->next; ++n) last = last->next;
    if (first) list.first = std::exchange(last->next, nullptr);
  }
  if (first) return first;
  first = last = grow(c);
  if (!first) return nullptr;
  for (n = 1; n < most && last->next; ++n) last = last->next;
  rest = std::exchange(last->next, nullptr);
  if (!rest) return first;
  last = rest;
  while (last->next) last = last->next;
  put_back(rest, last, c);
  return first;
}

}  // namespace

worker* counting_worker() noexcept {
  worker* w = this_worker();
  return w && !w->left_to_its_fiber() ? w : nullptr;
}

// ---- a worker's own ----------------------------------------------------------------------------------------------

namespace {
constexpr std::size_t most_kept = 64, moved_at_once = 32;
constexpr std::uint64_t ids_at_once = 64;
}  // namespace

fiber_cache::~fiber_cache() {
  for (list& l : lists_)
    while (fiber* f = l.first) {
      l.first = f->next;
      sched::put_back(f, f, f->size_class);
    }
}

fiber* fiber_cache::take(stack_class c) noexcept {
  list& l = lists_[static_cast<std::size_t>(c)];
  if (!l.first) l.first = sched::take(c, moved_at_once, l.size);
  fiber* f = l.first;
  if (!f) return nullptr;
  l.first = f->next;
  --l.size;
  return f;
}

// The hottest comes first, and the coldest go where others find them.
void fiber_cache::put_back(fiber* f) noexcept {
  list& l = lists_[static_cast<std::size_t>(f->size_class)];
  f->next = l.first;
  l.first = f;
  if (++l.size <= most_kept) return;
  fiber* last_kept = f;
  for (std::size_t i = 1; i < most_kept - moved_at_once; ++i) last_kept = last_kept->next;
  fiber* first = std::exchange(last_kept->next, nullptr);
  fiber* last = first;
  while (last->next) last = last->next;
  sched::put_back(first, last, f->size_class);
  l.size = most_kept - moved_at_once;
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
  runtime::instance().ensure_started();
  worker* w = counting_worker();
  std::size_t one = 0;
  fiber* f = w ? w->fibers.take(c) : take(c, 1, one);
  if (!f) throw std::bad_alloc();
  if (detail::sanitizer::fresh_stacks) {
    std::byte* base = detail::map_single(c);
    if (!base) {
      put_back(f, f, c);
      throw std::bad_alloc();
    }
    f->stack_bottom = base + detail::guard_bytes(c);
    f->stack_top = base + stack_bytes(c);
  }
  // relaxed: only uniqueness matters
  f->label.set(w ? w->fibers.next_id() : last_id.fetch_add(1, shim::order::relaxed) + 1, name, at);
  f->ambient = nullptr;
  f->innermost = nullptr;
  f->shields = 0;
  f->swallowed = 0;
  f->locals = nullptr;
  f->listens_to = nullptr;
  f->lives_in = this_world();
  if (f->lives_in) f->lives_in->reserves(+1);
  f->caught_exceptions = nullptr;
  f->uncaught_exceptions = 0;
  f->saved_errno = 0;
  f->state.store(fiber_state::reserved, shim::order::release);  // release: publishes the description to reports
  return f;
}

void start_fiber(fiber* f, job& work) noexcept {
  const auto size = static_cast<std::size_t>(f->stack_top - f->stack_bottom);
  detail::sanitizer::create(f->sanitizer, f->stack_bottom, size, f->label.read().name);
  f->work = &work;
  count(&tally::started, 1);
  // Stacks of neighbouring slots would otherwise compete for the same cache sets: start them up to 1 KiB apart.
  const std::size_t colour = (f->label.id() % 16) * 64;
  // relaxed: published with the fiber itself through the run queue
  f->saved_sp.store(detail::prepare_stack(f->stack_top - colour, f), shim::order::relaxed);
  f->state.store(fiber_state::runnable, shim::order::relaxed);  // relaxed: for reports
  if (f->lives_in && !f->lives_in->member_starts(*f)) return;
  runtime::instance().schedule_new(f);
}

void release_fiber(fiber* f) noexcept {
  if (f->work) {
    detail::sanitizer::destroy(f->sanitizer);
  } else if (f->lives_in) {
    f->lives_in->reserves(-1);
  }
  if (detail::sanitizer::fresh_stacks) detail::unmap_single(f->stack_bottom - detail::guard_bytes(f->size_class), f->size_class);
  const bool counted = f->work != nullptr && f->state.load(shim::order::relaxed) != fiber_state::abandoned;  // relaxed: ours
  f->work = nullptr;
  f->state.store(fiber_state::unused, shim::order::relaxed);  // relaxed: for reports
  if (worker* w = counting_worker()) {
    w->fibers.put_back(f);
  } else {
    put_back(f, f, f->size_class);
  }
  if (counted) count(&tally::ended, 1);
}

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
  static drain_object& o = *new drain_object;
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
