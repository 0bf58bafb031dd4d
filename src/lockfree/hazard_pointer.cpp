#include <runnel/lockfree/hazard_pointer.hpp>

#include "cancellation.hpp"
#include "fiber/sanitizer.hpp"
#include "lockfree/hazard_domain.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/base/heavy_fence.hpp>
#include <runnel/sched/frame.hpp>

#include <pthread.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>
#include <utility>

namespace runnel::inline RUNNEL_ABI::detail {

using sanitizer::hb_acquire;
using sanitizer::hb_release;
using sched::attachment;

hazard_block::hazard_block(bool fencing) noexcept {
  for (std::size_t i = 0; i < sizes::hazard_block; ++i) ::new (memory + i * sizeof(hazard_slot)) hazard_slot(fencing);
}

/// Some of what the slots protect, in order.
class hazard_domain::protected_objects {
 public:
  bool full() const noexcept { return size_ == all_.size(); }
  void add(const hazard_object* o) noexcept { all_[size_++] = o; }
  /// Leaves in `things` what is not among them, moves the rest to `found`; and forgets them.
  void sift(retired_things& things, retired_things& found) noexcept {
    if (size_ == 0) return;
    std::sort(all_.begin(), all_.begin() + std::ptrdiff_t(size_), std::less<>());
    for (std::size_t k = 0; k < retired_things::node_classes; ++k) sift(things.nodes[k], found.nodes[k]);
    sift(things.objects, found.objects);
    size_ = 0;
  }

 private:
  void sift(retired_list& list, retired_list& found) const noexcept {
    const auto end = all_.begin() + std::ptrdiff_t(size_);
    retired_list others;
    while (hazard_object* o = list.pop()) (std::binary_search(all_.begin(), end, o, std::less<>()) ? found : others).push(*o);
    list = std::move(others);
  }

  std::array<const hazard_object*, sizes::small ? 2 : 64> all_;
  std::size_t size_ = 0;
};

hazard_domain hazards;

namespace {

/// The fiber or thread that calls; null without memory.
sched::agent* caller() noexcept try {
  return &sched::this_agent();
} catch (const std::bad_alloc&) {
  return nullptr;
}

/// While deleters run: what they retire waits until they have returned, and a cancellation of whoever happens to call them does
/// not throw out of a wait of theirs.
class in_deleters {
 public:
  explicit in_deleters(sched::agent& a) noexcept : agent_(a) {
    agent_.reclaims = true;
    ++agent_.shields;
  }
  ~in_deleters() {
    --agent_.shields;
    agent_.reclaims = false;
  }
  in_deleters(const in_deleters&) = delete;
  in_deleters& operator=(const in_deleters&) = delete;

 private:
  sched::agent& agent_;
};

constexpr std::size_t node_classes = retired_things::node_classes;
constexpr std::size_t class_of(std::size_t bytes) noexcept { return (bytes - 1) / retired_things::step; }
constexpr std::size_t bytes_of(std::size_t node_class) noexcept { return (node_class + 1) * retired_things::step; }

/// Sanitizers and the explorer must see each node go.
constexpr bool keeps_nodes = !sanitizer::tracks_memory && !exploring;

/// Gives all to the frames but `kept`.
void give_frames(retired_list& nodes, std::size_t node_class, std::size_t kept) noexcept {
  while (nodes.size() > kept) sched::give_frame(nodes.pop(), bytes_of(node_class));
}
/// Nodes that are free now.
void keep(hazard_cache& c, retired_things& free) noexcept {
  for (std::size_t k = 0; k < node_classes; ++k) {
    retired_list &more = free.nodes[k], &kept = c.free_nodes[k];
    if (kept.size() < more.size()) std::swap(kept, more);
    while (hazard_object* o = more.pop()) kept.push(*o);
    give_frames(kept, k, sizes::retired);
  }
}

template <std::size_t Class>
void reclaim_node(hazard_object& o) noexcept {
  hazards.give_node(o, Class);
}
template <std::size_t... Class>
constexpr std::array<hazard_object::reclaimer, sizeof...(Class)> reclaimers(std::index_sequence<Class...>) noexcept {
  return {&reclaim_node<Class>...};
}
constexpr auto reclaimer_of = reclaimers(std::make_index_sequence<node_classes>());

void watch_forks() noexcept {
  static const int registered = pthread_atfork([] { hazards.before_fork(); }, [] { hazards.after_fork(); }, [] { hazards.after_fork(); });
  static_cast<void>(registered);  // fails without memory: a child that needs the lock may then hang
}

hazard_slot* pop_free(hazard_cache& c) noexcept {
  --c.free_count;
  return std::exchange(c.free, c.free->next_free);
}
void push_free(hazard_cache& c, hazard_slot* s) noexcept {
  s->next_free = std::exchange(c.free, s);
  ++c.free_count;
}

}  // namespace

// ---- slots -----------------------------------------------------------------------------------------------------

[[gnu::noinline]] hazard_cache* hazard_domain::new_cache() noexcept {
  watch_forks();
  hazard_cache* c = nullptr;
  {
    const raw_guard hold(lock_);
    if (idle_) c = std::exchange(idle_, idle_->next_idle);
  }
  if (!c) {
    // Outside operator new, as all that is kept here: a program that counts its allocations should not see a leak.
    void* const memory = std::malloc(sizeof(hazard_cache));
    if (!memory) return nullptr;
    c = ::new (memory) hazard_cache;
  }
  if (!c->free && !refill(*c)) {
    const raw_guard hold(lock_);
    c->next_idle = std::exchange(idle_, c);
    return nullptr;
  }
  c->own = pop_free(*c);
  sched::attach(attachment::hazards, c, [](void* p) noexcept { hazards.end_of_thread(*static_cast<hazard_cache*>(p)); });
  return c;
}

bool hazard_domain::refill(hazard_cache& c) noexcept {
  {
    const raw_guard hold(lock_);
    while (free_ && c.free_count < sizes::hazard_block) push_free(c, std::exchange(free_, free_->next_free));
  }
  if (c.free) return true;
  void* const memory = std::aligned_alloc(alignof(hazard_block), sizeof(hazard_block));
  if (!memory) return false;
  auto* const b = ::new (memory) hazard_block(!has_heavy_fence());
  for (std::size_t i = 0; i < sizes::hazard_block; ++i) push_free(c, &b->at(i));
  b->next = blocks_.load(shim::order::relaxed);  // relaxed: confirmed by the compare-exchange
  // seq_cst: this, then the reload in hazard_slot::protect(); in the scan the unlinking, then the look at this. And releases: pairs
  // with the scan, for the slots. relaxed on failure: tried again
  while (!blocks_.compare_exchange(b->next, b, shim::order::seq_cst, shim::order::relaxed)) {
  }
  slots_.fetch_add(sizes::hazard_block, shim::order::relaxed);  // relaxed: how often to scan; nothing hangs on it
  return true;
}

hazard_slot* hazard_domain::take() {
  hazard_cache* const c = cache();
  if (!c || (!c->free && !refill(*c))) throw std::bad_alloc();
  return pop_free(*c);
}

void hazard_domain::give(hazard_slot* s) noexcept {
  hazard_cache* const c = known_cache();
  if (!c) return give_to_all(s, s);  // a destructor allocates nothing
  push_free(*c, s);
  if (c->free_count < 2 * sizes::hazard_block) return;
  hazard_slot* const first = c->free;
  hazard_slot* last = first;
  for (std::size_t i = 1; i < sizes::hazard_block; ++i) last = last->next_free;
  c->free = last->next_free;
  c->free_count -= sizes::hazard_block;
  give_to_all(first, last);
}

void hazard_domain::give_to_all(hazard_slot* first, hazard_slot* last) noexcept {
  const raw_guard hold(lock_);
  last->next_free = std::exchange(free_, first);
}

// ---- what is retired -------------------------------------------------------------------------------------------

void hazard_domain::retire(hazard_object& o, hazard_object::reclaimer reclaim_by) noexcept {
  if (o.reclaim_)
    fatal("runnel::hazard_pointer_obj_base: %p is retired twice: only the one who has unlinked an object retires it", static_cast<void*>(&o));
  o.reclaim_ = reclaim_by;
  hb_release(&o);
  hazard_cache* const c = exploring ? nullptr : cache();
  if (!c) {
    o.next_ = nullptr;
    leave(&o);
    if constexpr (exploring) clean_up();  // on whichever thread, so that a run can be repeated
    return;
  }
  c->retired.objects.push(o);
  if (++c->retired.size >= c->limit) reclaim();
}

void hazard_domain::retire_node(hazard_object& o, std::size_t node_class) noexcept {
  hazard_cache* const c = keeps_nodes ? cache() : nullptr;
  if (!c) return retire(o, reclaimer_of[node_class]);
  c->retired.nodes[node_class].push(o);
  if (++c->retired.size >= c->limit) reclaim();
}

/// Gives them to whoever scans next.
void hazard_domain::leave(hazard_object* first) noexcept {
  if (!first) return;
  hazard_object* last = first;
  while (last->next_) last = last->next_;
  last->next_ = left_.load(shim::order::relaxed);  // relaxed: confirmed by the compare-exchange
  // release: pairs with scan(), for the objects; relaxed on failure: tried again
  while (!left_.compare_exchange(last->next_, first, shim::order::release, shim::order::relaxed)) {
  }
}

void hazard_domain::leave(retired_things things) noexcept {
  for (std::size_t k = 0; k < node_classes; ++k)
    while (hazard_object* o = things.nodes[k].pop()) {
      o->reclaim_ = reclaimer_of[k];
      things.objects.push(*o);
    }
  leave(things.objects.first());
}

/// What no slot protects of `things`, which keep the rest.
retired_things hazard_domain::take_unprotected(retired_things& things) noexcept {
  if (has_heavy_fence()) {
    heavy_fence();  // what has unlinked the objects, then the looks at the slots; with the light one in hazard_slot::protect()
  } else {
    shim::fence(shim::order::seq_cst);  // seq_cst: the same, with the seq_cst accesses in the place of the light fence
  }
  retired_things kept;
  protected_objects seen;
  // acquire: pairs with refill(), for the slots
  for (hazard_block* b = blocks_.load(shim::order::acquire); b; b = b->next) {
    for (std::size_t i = 0; i < sizes::hazard_block; ++i) {
      // acquire: pairs with hazard_slot: the owner has done with what it protected before
      if (const hazard_object* o = b->at(i).protects.load(shim::order::acquire)) seen.add(o);
      if (seen.full()) seen.sift(things, kept);
    }
  }
  seen.sift(things, kept);
  kept.count();
  return std::exchange(things, std::move(kept));
}

/// The same, with what was left by threads that have ended.
retired_things hazard_domain::scan(retired_things& things) noexcept {
  things.objects.push_chain(left_.exchange(nullptr, shim::order::acquire));  // acquire: pairs with leave(), for the objects
  things.count();
  return things.size != 0 ? take_unprotected(things) : retired_things();
}

void hazard_domain::run(retired_list list) noexcept {
  while (hazard_object* o = list.pop()) {
    hb_acquire(o);
    std::exchange(o->reclaim_, nullptr)(*o);
  }
}

/// Brings the caller's thread below its limit.
[[gnu::noinline]] void hazard_domain::reclaim() noexcept {
  sched::agent* const a = caller();
  if (!a || a->reclaims) return;  // in a deleter: what it retires is looked at when it has returned
  // A deleter may wait, and end on another thread.
  for (hazard_cache* c = cache(); c && c->retired.size >= c->limit; c = cache()) {
    retired_things unprotected = scan(c->retired);
    // relaxed: how often to scan
    c->limit = std::max(sizes::retired, sizes::retired_for_a_slot * slots_.load(shim::order::relaxed));
    keep(*c, unprotected);
    if (!unprotected.objects.first()) continue;
    const in_deleters inside(*a);
    run(std::move(unprotected.objects));
  }
}

void hazard_domain::clean_up() noexcept {
  sched::agent* const a = caller();
  if (!a || a->reclaims) return;
  for (;;) {
    hazard_cache* const c = known_cache();
    retired_things things;
    if (c) things = std::exchange(c->retired, retired_things());
    retired_things unprotected = scan(things);
    if (c && !exploring) {
      c->retired = std::move(things);
      keep(*c, unprotected);
    } else {
      leave(std::move(things));
    }
    if (!unprotected.objects.first()) return;
    const in_deleters inside(*a);
    run(std::move(unprotected.objects));
  }
}

void hazard_domain::end_of_thread(hazard_cache& c) noexcept {
  retired_things things = std::exchange(c.retired, retired_things());
  push_free(c, std::exchange(c.own, nullptr));
  hazard_slot* last = c.free;
  while (last->next_free) last = last->next_free;
  give_to_all(std::exchange(c.free, nullptr), last);
  c.free_count = 0;
  for (std::size_t k = 0; k < node_classes; ++k) give_frames(c.free_nodes[k], k, 0);
  {
    const raw_guard hold(lock_);
    c.next_idle = std::exchange(idle_, &c);
  }
  if (things.size == 0) return;
  retired_things unprotected = scan(things);
  leave(std::move(things));
  for (std::size_t k = 0; k < node_classes; ++k) give_frames(unprotected.nodes[k], k, 0);
  run(std::move(unprotected.objects));
}

// ---- memory of nodes -------------------------------------------------------------------------------------------

void* hazard_domain::take_node(std::size_t node_class) {
  hazard_cache* const c = cache();
  hazard_object* const o = c ? c->free_nodes[node_class].pop() : nullptr;
  return o ? o : sched::take_frame(bytes_of(node_class));
}

void hazard_domain::give_node(hazard_object& o, std::size_t node_class) noexcept {
  hazard_cache* const c = keeps_nodes ? known_cache() : nullptr;
  if (!c || c->free_nodes[node_class].size() == sizes::retired) return sched::give_frame(&o, bytes_of(node_class));
  c->free_nodes[node_class].push(o);
}

void* take_hazard_node(std::size_t bytes) { return hazards.take_node(class_of(bytes)); }
void give_hazard_node(hazard_object& o, std::size_t bytes) noexcept { hazards.give_node(o, class_of(bytes)); }
void retire_hazard_node(hazard_object& o, std::size_t bytes) noexcept { hazards.retire_node(o, class_of(bytes)); }

// ---- for templates ---------------------------------------------------------------------------------------------

hazard_slot* take_hazard_slot() { return hazards.take(); }
void give_hazard_slot(hazard_slot* s) noexcept { hazards.give(s); }
void retire(hazard_object& o, hazard_object::reclaimer reclaim_by) noexcept { hazards.retire(o, reclaim_by); }

void hazard_slot::note_end() const noexcept {
  if (const hazard_object* o = protects.load(shim::order::relaxed)) hb_release(o);  // relaxed: the caller's own store
}
bool hazard_slot::announce_unseen(const hazard_object* o) noexcept { return announce_here(o); }
void hazard_slot::set_unseen(const hazard_object* o) noexcept { set_here(o); }

void empty_hazard_pointer() noexcept {
  fatal("runnel::hazard_pointer: an empty one protects nothing: assign make_hazard_pointer() to it first");
}

}  // namespace runnel::inline RUNNEL_ABI::detail

namespace runnel::inline RUNNEL_ABI {

void hazard_pointer_clean_up() noexcept {
  sched::choice_point(sched::operation::release, nullptr);
  detail::hazards.clean_up();
}

}  // namespace runnel::inline RUNNEL_ABI
