#include "sched/fiber_pool.hpp"

#include "fiber/switch.hpp"
#include "sched/runtime.hpp"

#include <algorithm>
#include <new>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

struct free_list {
  detail::raw_lock lock;
  fiber* first = nullptr;
};
free_list free_lists[4];
shim::atomic<std::size_t> live{0};
shim::atomic<std::uint64_t> last_id{0};

// A slab may become visible to for_each_fiber before its records are constructed: zeroed memory is a valid
// `unused` state, and nothing else of such a record is read.
static_assert(static_cast<int>(fiber_state::unused) == 0);

fiber* grow(stack_class c) {
  detail::slab* s = detail::map_slab(c, sizeof(fiber));
  if (!s) throw std::bad_alloc();
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

fiber* take(stack_class c) {
  free_list& list = free_lists[static_cast<std::size_t>(c)];
  {
    detail::raw_guard hold(list.lock);
    if (fiber* f = list.first) {
      list.first = f->next;
      return f;
    }
  }
  fiber* first = grow(c);
  fiber* rest = first->next;
  fiber* last = rest;
  while (last->next) last = last->next;
  detail::raw_guard hold(list.lock);
  last->next = list.first;
  list.first = rest;
  return first;
}

void put_back(fiber* f) noexcept {
  free_list& list = free_lists[static_cast<std::size_t>(f->size_class)];
  detail::raw_guard hold(list.lock);
  f->next = list.first;
  list.first = f;
}

}  // namespace

fiber* reserve_fiber(stack_class c, std::string_view name, const detail::site& at) {
  runtime::instance().ensure_started();
  fiber* f = take(c);
  if (detail::sanitizer::fresh_stacks) {
    std::byte* base = detail::map_single(c);
    if (!base) {
      put_back(f);
      throw std::bad_alloc();
    }
    f->stack_bottom = base + detail::guard_bytes(c);
    f->stack_top = base + stack_bytes(c);
  }
  // relaxed: only uniqueness matters
  f->label.set(last_id.fetch_add(1, shim::order::relaxed) + 1, name, at);
  f->ambient = nullptr;
  f->innermost = nullptr;
  f->shields = 0;
  f->swallowed = 0;
  f->locals = nullptr;
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
  live.fetch_add(1, shim::order::relaxed);  // relaxed: a count; its end is ordered by release_fiber()
  // Stacks of neighbouring slots would otherwise compete for the same cache sets: start them up to 1 KiB apart.
  const std::size_t colour = (f->label.id() % 16) * 64;
  // relaxed: published with the fiber itself through the run queue
  f->saved_sp.store(detail::prepare_stack(f->stack_top - colour, f), shim::order::relaxed);
  f->state.store(fiber_state::runnable, shim::order::relaxed);  // relaxed: for reports
  runtime::instance().schedule(f);
}

void release_fiber(fiber* f) noexcept {
  if (f->work) detail::sanitizer::destroy(f->sanitizer);
  if (detail::sanitizer::fresh_stacks) detail::unmap_single(f->stack_bottom - detail::guard_bytes(f->size_class), f->size_class);
  const bool counted = f->work != nullptr && f->state.load(shim::order::relaxed) != fiber_state::abandoned;  // relaxed: ours
  f->work = nullptr;
  f->state.store(fiber_state::unused, shim::order::relaxed);  // relaxed: for reports
  put_back(f);
  // seq_cst: "the last has ended, then is anybody waiting for that" against "waiting, then is any left"
  if (counted && live.fetch_sub(1, shim::order::seq_cst) == 1) give_up_waiting();
}

std::size_t live_fibers() noexcept {
  return live.load(shim::order::acquire);  // acquire: pairs with release_fiber()
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
    drain_waiting.fetch_add(1, shim::order::seq_cst);  // seq_cst: see release_fiber()
    drained().waiters.push_back(n);
  }
  if (live.load(shim::order::seq_cst) != 0 || !w.try_claim(granted))  // seq_cst: see release_fiber()
    park(w, wait_reason::root_join, nullptr, deadline);
  detail::raw_guard hold(drained().lock);
  drained().waiters.remove(n);
  drain_waiting.fetch_sub(1, shim::order::relaxed);  // relaxed: a waiter too many is only looked for
  return live_fibers() == 0;
}

void give_up_waiting() noexcept {
  if (drain_waiting.load(shim::order::seq_cst) == 0) return;  // seq_cst: see release_fiber()
  wake_list woken;
  {
    detail::raw_guard hold(drained().lock);
    woken.claim_all(drained().waiters);
  }
  woken.wake_all();
}

void abandon_fibers() noexcept {
  std::size_t n = 0;
  for_each_fiber([&](fiber& f) {
    // relaxed: called when no worker runs. A reserved one belongs to its handle.
    const fiber_state s = f.state.load(shim::order::relaxed);
    if (s == fiber_state::abandoned || s == fiber_state::reserved) return;
    f.state.store(fiber_state::abandoned, shim::order::relaxed);  // relaxed: as above
    ++n;
  });
  live.fetch_sub(n, shim::order::relaxed);  // relaxed: a count
}

}  // namespace runnel::inline RUNNEL_ABI::sched
