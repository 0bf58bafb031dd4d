// Read sections and grace periods. Retired objects: rcu_retired.cpp.
//
// A reader writes the number of the current period into its word when its outermost section begins, and 0 when that ends. A
// grace period is a new number, and the wait until no word holds an older one.
//
// A section that does not see what the writer unlinked... The reader: word = the period, FENCE, then it reads pointers. The
// writer: unlinks, FENCE, a new period, then it reads words. Fences come in one order.
//   - The reader's first: the writer finds its word, or what was stored there later: the end of the section. The number in it
//     is older, because the new one comes after the writer's fence. So it waits.
//   - The writer's first: the reader's pointers are those from after the unlinking.
// The reader's is a light one (heavy_fence.hpp), so it costs nothing; where there is no heavy one, both are real.
//
// No lost wake-up. Who waits for a period, in one section of the state's lock: links its node, `awaited` = the period, FENCE,
// looks at the words. A reader that leaves: word = 0, FENCE, looks at `awaited`.
//   - The reader's fence first: the look finds the 0, or a later section, to which the same applies.
//   - The other first: the reader finds `awaited` above its number, and comes for the lock. There it looks at all words and
//     ends the waits for which no old one is left. Of several that leave, the last to get the lock sees the zeros of those
//     before it by that lock, and the zeros from before the announcement by it too. `awaited` sinks only under the lock when
//     nobody waits.
// The same period may be shared: a node stands for the current one, which may be newer than its own and is no older.
#include <runnel/lockfree/rcu_domain.hpp>

#include "fiber/sanitizer.hpp"
#include "lockfree/rcu_state.hpp"
#include "lockfree/this_reader.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/base/heavy_fence.hpp>
#include <runnel/sched/attachment.hpp>
#include <runnel/sched/left_waiters.hpp>
#include <runnel/sched/operation.hpp>

#include <cstdlib>
#include <new>
#include <string>

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using detail::rcu_reader;
using detail::rcu_state;
using detail::sanitizer::hb_acquire;
using detail::sanitizer::hb_release;
using sched::choice_point;
using sched::operation;

namespace detail {

shim::atomic<std::int64_t> rcu_patience_ns{1'000'000'000};

namespace {

// Never destroyed: sections may be entered in the destructors of statics. All its parts are made before anything runs.
union unending {
  unending() noexcept : state() {}
  ~unending() {}
  rcu_state state;
} domain_state;

/// The other side's fence: see the head.
void fence_readers() noexcept {
  if (has_heavy_fence()) {
    heavy_fence();
  } else {
    shim::fence(shim::order::seq_cst);  // seq_cst: against the one that readers execute then
  }
}
/// A reader's, between what it has written and what it reads next.
void fence_of(const rcu_reader& r) noexcept {
  if (r.fences) {
    shim::fence(shim::order::seq_cst);  // seq_cst: against fence_readers()
  } else {
    shim::light_fence();
  }
}

// ---- the caller's reader

void thread_ends(void* what) noexcept {
  auto& r = *static_cast<rcu_reader*>(static_cast<sched::read_depth*>(what));
  if (r.sections != 0)
    fatal("a thread ends inside an RCU read section: give back each guard of rcu<T> before, and call unlock() as often as "
          "lock()");
  set_this_reader(nullptr);
  the_rcu().strike_off(r);
}

/// A record for the calling thread.
[[gnu::cold, gnu::noinline, maybe_unused]] rcu_reader& join() noexcept {  // unused where a fiber has its own
  rcu_reader& r = the_rcu().enlist(nullptr);
  sched::attach(sched::attachment::reader, static_cast<sched::read_depth*>(&r), &thread_ends);
  set_this_reader(&r);
  return r;
}

/// The caller's, for a section that it begins.
rcu_reader& reader_of_caller() noexcept {
  if constexpr (exploring) {
    const sched::agent& caller = sched::this_agent();
    rcu_reader* const r = the_rcu().find(&caller);
    return r ? *r : the_rcu().enlist(&caller);
  } else {
    rcu_reader* const r = this_reader();
    return r ? *r : join();
  }
}
/// Null when the caller has none, so it is in no section.
rcu_reader* known_reader() noexcept {
  if constexpr (exploring) return the_rcu().find(&sched::this_agent());
  return this_reader();
}

}  // namespace

rcu_state& the_rcu() noexcept { return domain_state.state; }

rcu_reader* rcu_state::find(const void* key) const noexcept {
  rcu_reader* found = nullptr;
  for_each_reader([&](rcu_reader& r) {
    if (r.key.load(shim::order::relaxed) == key) found = &r;  // relaxed: the caller wrote it, or it is not the caller's
  });
  return found;
}

/// A record with that key; null: with itself as the key.
rcu_reader& rcu_state::enlist(const void* key) noexcept {
  watch_forks_of_rcu();
  const raw_guard hold(lock);
  rcu_reader* r = readers.load(shim::order::relaxed);  // relaxed: written under the lock
  while (r && r->key.load(shim::order::relaxed)) r = r->next;  // relaxed: as above
  if (!r) {
    // Outside operator new: it is never freed, and a program that counts its allocations should not see a leak.
    void* const memory = std::aligned_alloc(alignof(rcu_reader), sizeof(rcu_reader));
    if (!memory) fatal("no memory for a thread's first RCU read section (%zu bytes)", sizeof(rcu_reader));
    r = ::new (memory) rcu_reader;
    r->fences = !has_heavy_fence();
    r->next = readers.load(shim::order::relaxed);  // relaxed: as above
    readers.store(r, shim::order::release);        // release: publishes the record
  }
  r->key.store(key ? key : r, shim::order::relaxed);                  // relaxed: written under the lock
  r->thread.store(sched::this_place().thread, shim::order::relaxed);  // relaxed: for reports
  return *r;
}

rcu_reader& rcu_retirer() noexcept {
  if constexpr (exploring) {
    // One for each world: on which thread a member runs must not matter.
    const void* const key = rcu_retirer_key(sched::number_of_this_world());
    rcu_reader* const r = the_rcu().find(key);
    return r ? *r : the_rcu().enlist(key);
  } else {
    rcu_reader* const r = this_reader();
    return r ? *r : join();
  }
}

// ---- grace periods

/// What the caller did before happens before each section that it does not wait for.
std::uint64_t rcu_state::begin_period() noexcept {
  hb_release(&current);
  fence_readers();
  return current.fetch_add(1, shim::order::relaxed) + 1;  // relaxed: behind the fence, see the head
}

std::uint64_t rcu_state::oldest() const noexcept {
  std::uint64_t least = nobody;
  for_each_reader([&](const rcu_reader& r) {
    // acquire: pairs with leave(), and with enter() for the section before that one
    const std::uint64_t word = r.word.load(shim::order::acquire);
    if (word != 0 && word < least) least = word;
  });
  return least;
}

bool rcu_state::is_over(std::uint64_t period) const noexcept {
  if (oldest() < period) return false;
  for_each_reader([](const rcu_reader& r) { hb_acquire(&r); });
  return true;
}

/// True: the node stands in the queue, and somebody will end the wait.
bool rcu_state::announce(sched::wait_node& n) noexcept {
  const raw_guard hold(lock);
  n.note = current.load(shim::order::relaxed);  // relaxed: the caller's own is older; grows by the lock
  n.owner->may_be_ended_from_outside();
  waiting.push_back(n);
  awaited.store(n.note, shim::order::relaxed);  // relaxed: before the fence, see the head
  fence_readers();
  if (oldest() < n.note) return true;
  withdraw(n);
  return false;
}

/// Under the lock.
void rcu_state::withdraw(sched::wait_node& n) noexcept {
  waiting.remove(n);
  // relaxed: a reader too many comes for the lock, and finds nobody
  if (waiting.empty()) awaited.store(0, shim::order::relaxed);
}

void rcu_state::wait_for(std::uint64_t period, sched::agent& caller) noexcept {
  if (is_over(period)) return;
  if (sched::in_forked_child())
    fatal("rcu: a forked child has no workers, so it cannot wait for the read sections of other threads that it has started");
  const time_point since = steady_clock::now();
  // In virtual time a section takes none; else a report once it has taken this long.
  const bool patient = sched::number_of_this_world() != 0;
  const std::chrono::nanoseconds patience(rcu_patience_ns.load(shim::order::relaxed));  // relaxed: a setting
  time_point limit = patient ? never : duration(patience).after(since);
  sched::waiter w(caller);
  sched::wait_node n(w);
  while (announce(n)) {
    if (sched::park(w, sched::wait_reason::rcu, this, limit) != sched::timed_out) break;
    limit = never;
    {
      const raw_guard hold(lock);
      withdraw(n);
    }
    report_stalled(n.note, duration::between(since, steady_clock::now()));
    w.rearm();
  }
  for_each_reader([](const rcu_reader& r) { hb_acquire(&r); });
}

void rcu_state::report_stalled(std::uint64_t period, duration waited) const noexcept {
  for_each_reader([&](const rcu_reader& r) {
    // relaxed: as for a report, which may be a moment behind
    const std::uint64_t word = r.word.load(shim::order::relaxed);
    if (word == 0 || word >= period) return;
    const std::string who = sched::describe_user_of(r.thread.load(shim::order::relaxed));  // relaxed: as above
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(waited.nanoseconds()).count();
    report("an RCU read section holds up a grace period for %lld ms: it is that of %s. Sections are to be short: copy what "
           "takes long out of it",
           static_cast<long long>(ms), who.c_str());
  });
}

[[gnu::noinline]] void rcu_state::reader_left() noexcept {
  sched::wake_list woken;
  {
    const raw_guard hold(lock);
    const std::uint64_t least = oldest();
    const auto over = [least](const sched::wait_node& n) { return n.note <= least; };
    while (sched::wait_node* n = waiting.claim_front_if(over)) woken.push(*n->owner);
    if (waiting.empty()) awaited.store(0, shim::order::relaxed);  // relaxed: as in withdraw()
  }
  woken.wake_all();
}

/// The outermost section begins.
static void enter(rcu_reader& r, rcu_state& s) noexcept {
  if constexpr (exploring) sched::this_agent().sections_without_parking |= sched::agent::in_read_section;
  // relaxed: an older number is only waited for in vain
  const std::uint64_t period = s.current.load(shim::order::relaxed);
  // release: who finds it sees the section before this one as ended; before the fence, see the head
  r.word.store(period, shim::order::release);
  fence_of(r);
  hb_acquire(&s.current);
}

/// The outermost section ends.
static void leave(rcu_reader& r, rcu_state& s) noexcept {
  if constexpr (exploring) sched::this_agent().sections_without_parking &= sched::agent::in_read_section - 1;
  const std::uint64_t period = r.word.load(shim::order::relaxed);  // relaxed: own write
  hb_release(&r);
  r.word.store(0, shim::order::release);  // release: pairs with oldest(); before the fence, see the head
  fence_of(r);
  if constexpr (exploring) s.strike_off(r);
  if (s.awaited.load(shim::order::relaxed) > period) [[unlikely]] s.reader_left();  // relaxed: behind the fence
}

}  // namespace detail

rcu_domain& rcu_default_domain() noexcept {
  static constinit rcu_domain domain;
  return domain;
}

void rcu_domain::lock() noexcept {
  choice_point(operation::lock_shared, this);
  rcu_reader& r = detail::reader_of_caller();
  if (r.sections++ == 0) detail::enter(r, detail::the_rcu());
}

void rcu_domain::unlock() noexcept {
  choice_point(operation::unlock_shared, this);
  rcu_reader* const r = detail::known_reader();
  if (!r || r->sections == 0) [[unlikely]]
    detail::fatal("rcu_domain::unlock() without a read section of the caller: a section ends on the fiber or thread that began "
                  "it");
  if (--r->sections == 0) detail::leave(*r, detail::the_rcu());
}

namespace detail {
/// A grace period must not be waited for in a read section, which it would wait for.
static void refuse_in_section(const sched::agent& caller, const char* what) noexcept {
  if (sched::in_read_section(caller))
    fatal("%s inside an RCU read section, for whose end it would wait for ever: end the section first", what);
}
}  // namespace detail

void rcu_synchronize(rcu_domain& domain) noexcept {
  choice_point(operation::wait, &domain);
  sched::agent& caller = sched::this_agent();
  detail::refuse_in_section(caller, "rcu_synchronize()");
  rcu_state& s = detail::the_rcu();
  s.wait_for(s.begin_period(), caller);
}

void rcu_barrier(rcu_domain& domain) noexcept {
  choice_point(operation::wait, &domain);
  sched::agent& caller = sched::this_agent();
  detail::refuse_in_section(caller, "rcu_barrier()");
  detail::the_rcu().barrier(caller);
}

}  // namespace runnel::inline RUNNEL_ABI
