// The word: bit 0, W: somebody waits; bits 1 to 32: the counter; above: how many of them are fibers of go().
//
// Protocol
//  1. While W is clear the word changes by compare-exchange, and that is the last that add() and done() touch.
//  2. W is set and cleared under the lock. While it is set, whoever wants to change the word takes the lock first.
//  3. W is set exactly while somebody is in the queue, unless somebody holds the lock; so it is clear at a counter of zero.
// No lost wake-up: wait() sets W and looks at the counter in one operation. What changes the word before that is seen by the
// look; what comes later finds W and, under the lock, the waiter.
// Destruction right after wait(): wait() looks under the lock. Who brought the counter to zero has either touched nothing
// after its compare-exchange, or has claimed the waiters and released the lock before it wakes them, and touches nothing
// of the group after that.
// Rejected: one addition for each, and a look at W in what it returns, as Go has it: who brings the counter to zero would
// come to the lock after the counter has said so, and a waiter that gives up and looks again may have destroyed the group.
#include <runnel/sync/wait_group.hpp>

#include "fiber/sanitizer.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/sched/left_waiters.hpp>
#include <runnel/sched/operation.hpp>

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using detail::sanitizer::hb_acquire;
using detail::sanitizer::hb_release;
using sched::choice_point;
using sched::operation;

namespace {

constexpr std::uint64_t waiting = 1, one = 2, one_fiber = std::uint64_t{1} << 33;
constexpr std::int64_t most = (std::int64_t{1} << 32) - 1;
constexpr std::int64_t count_of(std::uint64_t word) noexcept { return static_cast<std::int64_t>(word >> 1) & most; }
constexpr std::uint64_t fibers_of(std::uint64_t word) noexcept { return word / one_fiber; }

constexpr bool can_change(std::uint64_t word, std::ptrdiff_t n) noexcept {
  return n >= -count_of(word) && n <= most - count_of(word);
}

[[noreturn, gnu::cold]] void refuse(std::ptrdiff_t n) {
  const char* what = n < 0 ? "runnel::wait_group: the counter would become negative: one done() too many"
                           : "runnel::wait_group: the counter would exceed 4,294,967,295";
  if (std::uncaught_exceptions() > 0) detail::fatal("%s", what);
  detail::throw_misuse(what);
}

/// The change of a word that has W, or that would be refused.
[[gnu::noinline]] void change_slow(sched::wait_object& object, shim::atomic<std::uint64_t>& word, sched::wait_queue& waiters,
                                   std::ptrdiff_t n, std::uint64_t by) {
  sched::wake_list woken;
  {
    raw_guard hold(object.lock);
    // acquire: pairs with change(), for the next wait(), which sees what is stored here. An operation that sees the newest
    // value: what change() saw may be old. From here on the word changes under the lock only
    const std::uint64_t seen = word.fetch_or(waiting, shim::order::acquire);
    const bool possible = can_change(seen, n);
    std::uint64_t next = possible ? seen + by : seen;
    if (count_of(next) == 0) {
      woken.claim_all(waiters);
      next &= ~waiting;
    }
    word.store(next, shim::order::relaxed);  // relaxed: wait() looks under the lock
    if (!possible) refuse(n);
  }
  woken.wake_all();
}

}  // namespace

wait_group::~wait_group() {
  raw_guard hold(object_.lock);
  const std::uint64_t fibers = fibers_of(word_.load(shim::order::relaxed));  // relaxed: nobody else uses it any more
  // The caller goes on but at the end of the process, with which its fibers end too.
  if (fibers != 0 && !sched::in_forked_child() && sched::goes_on(sched::this_agent()))
    detail::fatal("a wait_group is destroyed while %ju of its fibers run: call wait() first", std::uintmax_t{fibers});
  sched::refuse_to_leave_waiters("a wait_group", this, waiters_);
}

void wait_group::add(std::ptrdiff_t n) {
  choice_point(operation::add, this);
  if (n < 0) hb_release(&waiters_);
  change(n, static_cast<std::uint64_t>(n) * one);
}

void wait_group::started() { change(1, one + one_fiber); }
void wait_group::ended() noexcept { change(-1, -(one + one_fiber)); }

/// Adds n to the counter, which is `by` in the word.
void wait_group::change(std::ptrdiff_t n, std::uint64_t by) {
  std::uint64_t seen = word_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (!(seen & waiting) && can_change(seen, n)) {
    // release: what happened before a done() is seen by wait(). Relaxed on failure: as above
    if (word_.compare_exchange(seen, seen + by, shim::order::release, shim::order::relaxed)) return;
  }
  change_slow(object_, word_, waiters_, n, by);
}

bool wait_group::wait_until(time_point deadline, detail::context_node* extra) {
  choice_point(operation::wait, this);
  detail::check_canceled(extra);
  sched::waiter w;
  sched::wait_node n(w);
  {
    raw_guard hold(object_.lock);
    const std::uint64_t seen = word_.fetch_or(waiting, shim::order::acquire);  // acquire: pairs with change()
    if (count_of(seen) == 0) {
      word_.store(seen, shim::order::relaxed);  // relaxed: it says what it said before
      hb_acquire(&waiters_);
      return true;
    }
    w.may_be_ended_by(object_);
    waiters_.push_back(n);
  }
  const sched::claim_token t = detail::wait(w, sched::wait_reason::wait_group, this, deadline, extra);
  if (t == sched::granted) {
    hb_acquire(&waiters_);
    return true;
  }
  {
    raw_guard hold(object_.lock);
    waiters_.remove(n);
    if (waiters_.empty()) word_.fetch_and(~waiting, shim::order::relaxed);  // relaxed: what W guards is guarded by the lock
  }
  if (t == sched::was_canceled) detail::throw_wait_canceled(extra);
  return false;
}

namespace detail {

namespace {
void run_owned(sched::job& j) noexcept {
  auto& c = static_cast<owned_child&>(j);
  hb_acquire(&c);
  {
    fiber_frame frame(*c.node);
    try {
      c.call(c);
    } catch (const canceled& e) {
      if (!is_callers_own(e.origin().order())) deliver_unhandled(std::current_exception());  // a time limit inside
    } catch (...) {
      deliver_unhandled(std::current_exception());
    }
  }
  if (c.joined) hb_release(c.joined);
  hb_release(&c);
}
}  // namespace

void start_owned(owned_child& c, const site& at) {
  choice_point(operation::start, nullptr, at);
  const ambient_parents p = ambient();
  c.node = ref_ptr<context_node>(p.cancel ? p.cancel : nullptr);
  if (!c.node) c.node = ref_ptr<context_node>::adopt(new plain_node(nullptr, p.values));
  c.job::run = &run_owned;
  c.job::finished = [](sched::job& j) noexcept {
    auto& child = static_cast<owned_child&>(j);
    hb_acquire(&child);
    child.end(child);
  };
  sched::fiber* f = sched::reserve_fiber(stack_class::standard, "", at);
  hb_release(&c);
  sched::start_fiber(f, c);
}

}  // namespace detail
}  // namespace runnel::inline RUNNEL_ABI
