// Parking and waking: see the protocol in waiter.hpp.
//
// The word, in the agent: two bits of phase, then the token; the highest bit: it listens.
//   pending --try_claim--> claimed     pending --try_hold--> held --commit--> claimed
//   held --try_claim of another--> missed (refused)      held --revert--> pending      missed --revert--> claimed(retry)
// The word only decides who ends the wait. What the parties have written for each other is ordered elsewhere: what the
// waiting party prepared by the lock of the object (or of the timers) under which the claimer found it, what the claimer
// did by the wake-up. So its accesses are relaxed, but for those that meet at a cancellation: see listen().
#include <runnel/sched/waiter.hpp>

#include "base/futex.hpp"
#include "sched/fork.hpp"
#include "sched/runtime.hpp"
#include "sched/world.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/sched/attachment.hpp>
#include <runnel/sched/timer.hpp>

#include <sched.h>

#include <algorithm>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

constexpr std::uint32_t pending = 0, held = 1, missed = 2, claimed = 3;
constexpr std::uint32_t listens = 1u << 31;
constexpr std::uint32_t phase(std::uint32_t word) noexcept { return word & 3; }
constexpr std::uint32_t claim_of(claim_token t) noexcept { return (t << 2) | claimed; }

shim::atomic<std::uint64_t> last_order{0};

#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
shim::atomic<std::int64_t> nodes{0};
void count_node(std::int64_t d) noexcept {
  nodes.fetch_add(d, shim::order::relaxed);  // relaxed: a statistic
}
#else
void count_node(std::int64_t) noexcept {}
#endif

/// The time-out of a park, on the parked party's stack.
struct wake_timer : timer_node {
  explicit wake_timer(waiter& w) noexcept : timer_node(&expire), owner(w) {}
  static deferred* expire(timer_node& n, time_point, wake_list& woken) noexcept {
    waiter& w = static_cast<wake_timer&>(n).owner;
    if (w.try_claim(timed_out)) woken.push(w);
    return nullptr;
  }
  waiter& owner;
};

void make_runnable(agent& a, bool last) noexcept {
  if (a.is_fiber) {
    auto& f = static_cast<fiber&>(a);
    if (f.lives_in && !f.lives_in->wakes(f)) return;  // before it can run: see world.hpp
    if (last) {
      runtime::instance().schedule_last(&f);
    } else {
      runtime::instance().schedule(&f);
    }
    return;
  }
  auto& t = static_cast<thread_agent&>(a);
  runtime::instance().thread_is_woken();
  t.permit.store(1, shim::order::release);  // release: what the waker did before is visible to the woken
  detail::futex_wake(t.permit, 1);          // the descriptor is never freed, so this is safe however late
}

/// True when woken; false when the deadline came first.
bool wait_for_permit(thread_agent& t, time_point deadline) noexcept {
  for (;;) {
    if (t.permit.exchange(0, shim::order::acquire) == 1) return true;  // acquire: pairs with make_runnable()
    time_point until = deadline;
    if (detail::sanitizer::delays_signals) until = std::min(deadline, steady_clock::now() + std::chrono::milliseconds(10));
    if (detail::futex_wait(t.permit, 0, until)) continue;
    if (until == deadline) return t.permit.exchange(0, shim::order::acquire) == 1;  // acquire: as above
    detail::sanitizer::let_signals_in();
  }
}

}  // namespace

const char* to_string(wait_reason r) noexcept {
  static constexpr const char* names[] = {
      "nothing", "channel send", "channel receive", "select", "sleep", "join of a task", "tasks of a group",
      "a group's slot", "wait group", "mutex", "blocking call", "readable descriptor", "writable descriptor",
      "the root fiber", "the end of an after_func", "a bubble",
      "condition variable", "semaphore", "shared mutex, shared", "shared mutex, exclusive",
      "once", "lazy", "latch", "barrier", "event", "rcu grace period", "fork-join",
      "tokens of a rate limiter", "another's execution in a single_flight"};
  return names[static_cast<std::size_t>(r)];
}

waiter::waiter() noexcept : waiter(this_agent()) {}
waiter::waiter(agent& caller) noexcept : target_(&caller) { rearm(); }

bool waiter::try_change(std::uint32_t to) noexcept {
  auto& word = target_->word;
  std::uint32_t seen = word.load(shim::order::relaxed);  // relaxed: a guess, the compare-exchange decides
  for (;;) {
    switch (phase(seen)) {
      case pending:
        // relaxed: see the head
        if (word.compare_exchange(seen, (seen & listens) | to, shim::order::relaxed, shim::order::relaxed)) return true;
        break;
      case held:
        // relaxed: see the head. Tells the holder that somebody was refused
        if (word.compare_exchange(seen, (seen & listens) | missed, shim::order::relaxed, shim::order::relaxed)) return false;
        break;
      default: return false;
    }
  }
}

bool waiter::try_claim(claim_token token) noexcept { return try_change(claim_of(token)); }
bool waiter::try_hold() noexcept { return try_change(held); }

void waiter::commit(claim_token token) noexcept {
  // relaxed: see the head; only the holder leaves `held` and `missed`, and who listens parks, whatever becomes of that bit
  target_->word.store(claim_of(token), shim::order::relaxed);
}

bool waiter::revert() noexcept {
  std::uint32_t seen = held;
  while (phase(seen) == held) {
    // relaxed: see the head
    if (target_->word.compare_exchange(seen, seen & listens, shim::order::relaxed, shim::order::relaxed)) return false;
  }
  commit(retry);
  return true;
}

// Either the canceler finds this wait listening, or this agent finds the context canceled: it listens and then looks, the
// canceler changes the state and then looks at the word (context_node::cancel_one), all four in the one order of seq_cst.
bool waiter::listen() noexcept {
  target_->waiting = this;
  // seq_cst: as said; its release hands `waiting` to the canceler
  return phase(target_->word.fetch_or(listens, shim::order::seq_cst)) != claimed;
}

waiter* waiter::claim_listening(agent& a) noexcept {
  std::uint32_t seen = a.word.load(shim::order::seq_cst);  // seq_cst: see listen()
  while ((seen & listens) && (phase(seen) == pending || phase(seen) == held)) {
    const bool refused = phase(seen) == held;
    // acquire: pairs with listen(), for `waiting`; relaxed on failure: it looks at the newer word and tries again
    if (a.word.compare_exchange(seen, refused ? listens | missed : claim_of(was_canceled), shim::order::acquire,
                                shim::order::relaxed))
      return refused ? nullptr : a.waiting;
  }
  return nullptr;
}

void waiter::wake() noexcept { make_runnable(*target_, false); }

void waiter::rearm() noexcept {
  target_->word.store(pending, shim::order::relaxed);  // relaxed: published by the lock under which it is linked
  outside_ = false;
}

void waiter::may_be_ended_by(const wait_object& o) noexcept {
  if (target_->lives_in && o.made_in() != target_->lives_in->number()) outside_ = true;
}

claim_token waiter::token() const noexcept {
  return (target_->word.load(shim::order::relaxed) & ~listens) >> 2;  // relaxed: the claim happened before the wake-up
}

void wait_queue::linked(std::int64_t change) noexcept {
  any_.store(!list_.empty(), shim::order::relaxed);  // relaxed: a hint
  count_node(change);
}
void wait_queue::push_back(wait_node& n) noexcept {
  list_.push_back(n);
  linked(+1);
}
void wait_queue::push_front(wait_node& n) noexcept {
  list_.push_front(n);
  linked(+1);
}
void wait_queue::remove(wait_node& n) noexcept {
  if (!n.linked()) return;
  list_.remove(n);
  linked(-1);
}
wait_node* wait_queue::pop_front() noexcept {
  wait_node* n = list_.pop_front();
  if (n) linked(-1);
  return n;
}
wait_node* wait_queue::claim_front() noexcept {
  while (wait_node* n = pop_front()) {
    if (n->owner->try_claim(n->token)) return n;  // else it is being woken by somebody else: not for us
  }
  return nullptr;
}
wait_node* wait_queue::claim_front_as(claim_token token) noexcept {
  while (wait_node* n = pop_front()) {
    if (n->owner->try_claim(token)) return n;
  }
  return nullptr;
}
wait_node* wait_queue::try_claim_front() noexcept {
  wait_node* n = pop_front();
  return n->owner->try_claim(n->token) ? n : nullptr;
}
wait_node* wait_queue::hold_front() noexcept {
  while (wait_node* n = pop_front()) {
    if (n->owner->try_hold()) return n;
  }
  return nullptr;
}

void wait_ring::push_back(wait_node& n) noexcept {
  if (first_) {
    n.prev = first_->prev;
    n.next = first_;
    n.prev->next = n.next->prev = &n;
  } else {
    first_ = &n;
    n.prev = n.next = &n;
  }
  count_node(+1);
}
void wait_ring::remove(wait_node& n) noexcept {
  if (!n.linked()) return;
  if (first_ == &n) first_ = n.next == &n ? nullptr : static_cast<wait_node*>(n.next);
  n.prev->next = n.next;
  n.next->prev = n.prev;
  n.prev = n.next = nullptr;
  count_node(-1);
}
wait_node* wait_ring::claim_front_as(claim_token token) noexcept {
  while (wait_node* n = first_) {
    remove(*n);
    if (n->owner->try_claim(token)) return n;
  }
  return nullptr;
}

void wake_list::push(waiter& w) noexcept {
  w.next_to_wake_ = nullptr;
  if (last_) {
    last_->next_to_wake_ = &w;
  } else {
    first_ = &w;
  }
  last_ = &w;
}
void wake_list::claim_all(wait_queue& q) noexcept {
  while (wait_node* n = q.claim_front()) push(*n->owner);
}
void wake_list::wake_all() noexcept {
  const bool several = first_ != last_;
  while (waiter* w = first_) {
    first_ = w->next_to_wake_;  // before the wake-up: the frame may be gone after it
    make_runnable(*w->target_, several);
  }
  last_ = nullptr;
}

bool is_blocked(const fiber& f) noexcept {
  // The state alone is not enough: it may be stored after the claim, and lasts until the fiber has a worker again.
  // relaxed: for reports
  return f.state.load(shim::order::relaxed) == fiber_state::parked && phase(f.word.load(shim::order::relaxed)) != claimed;
}

no_parking::no_parking() noexcept : owner_(this_agent()) { ++owner_.sections_without_parking; }
no_parking::~no_parking() { --owner_.sections_without_parking; }

bool in_read_section(const agent& a) noexcept {
  if constexpr (detail::exploring) return a.sections_without_parking & agent::in_read_section;
  const void* const reader = attached(attachment::reader);
  return reader && static_cast<const read_depth*>(reader)->sections != 0;
}

void refuse_to_wait_in_section(const agent& a) noexcept {
  // relaxed: own writes
  if (const wait_reason reason = a.reason.load(shim::order::relaxed); reason != wait_reason::none)
    detail::fatal("a wait (%s, %p) inside an RCU read section, for whose end writers and memory wait: copy what it needs out of "
                  "it, end it, and wait behind it",
                  to_string(reason), a.object.load(shim::order::relaxed));  // relaxed: as above
  detail::fatal("yield inside an RCU read section, for whose end writers and memory wait: end it first");
}

namespace {
/// What the agent's flags forbid, in the build for exploration read sections too.
[[gnu::cold, gnu::noinline]] void refuse_to_park(const agent& a, wait_reason reason, const void* object) noexcept {
  if (in_read_section(a)) return;  // which is refused with more to say
  detail::fatal("a wait (%s, %p) inside a function that runs under a lock of the library, such as that of "
                "concurrent_map::visit: take what it needs out of it, and wait behind it",
                to_string(reason), object);
}
}  // namespace

claim_token park(waiter& w, wait_reason reason, const void* object, time_point deadline) noexcept {
  agent& a = *w.target_;
  if (a.sections_without_parking != 0) [[unlikely]] refuse_to_park(a, reason, object);
  // relaxed: for reports, which may be a moment behind
  a.object.store(object, shim::order::relaxed);
  a.timed.store(deadline != never, shim::order::relaxed);
  a.reason.store(reason, shim::order::relaxed);
  // A fiber's is refused where it leaves its thread: see worker::leave().
  if (detail::exploring || !a.is_fiber)
    if (in_read_section(a)) [[unlikely]] refuse_to_wait_in_section(a);
  if (a.is_fiber) {
    wake_timer timer(w);
    if (deadline != never) arm(timer, deadline);
    auto& f = static_cast<fiber&>(a);
    world* const bubble = f.lives_in;
    const bool outside = w.outside_;
    f.state.store(fiber_state::parked, shim::order::relaxed);  // relaxed: for reports
    if (bubble) bubble->parks(f, outside);
    worker::leave(f, afterwards::nothing);
    if (bubble) bubble->goes_on(f, outside);
    if (deadline != never) disarm(timer);
  } else {
    auto& t = static_cast<thread_agent&>(a);
    runtime& r = runtime::instance();
    // The grace at the end of run() is given for what can change: a deadlock ends it, see run.cpp.
    const bool limited = deadline != never && reason != wait_reason::root_join;
    r.thread_parks(limited);
    if (!wait_for_permit(t, deadline)) {
      if (w.try_claim(timed_out)) {
        r.thread_is_woken();
      } else {
        wait_for_permit(t, never);
      }
    }
    r.thread_goes_on(limited);
  }
  a.reason.store(wait_reason::none, shim::order::relaxed);  // relaxed: for reports
  return w.token();
}

void yield_turn() noexcept { yield_turn(this_agent()); }
void yield_turn(agent& a) noexcept {
  if (a.sections_without_parking != 0) [[unlikely]] {
    if (in_read_section(a)) refuse_to_wait_in_section(a);
    return;  // whoever ran instead might wait for what the caller holds
  }
  if (!a.is_fiber) {
    if (in_read_section(a)) refuse_to_wait_in_section(a);
    sched_yield();
    return;
  }
  auto& f = static_cast<fiber&>(a);
  if (f.lives_in && f.lives_in->controlled_by) return f.lives_in->controlled_by->yields(f);
  f.state.store(fiber_state::runnable, shim::order::relaxed);  // relaxed: for reports
  worker::leave(f, afterwards::requeue);
}

void end_turn(agent& a) noexcept {
  a.operations_left = agent::operations_a_turn;
  if (a.sections_without_parking != 0 || in_read_section(a)) return;  // as in yield_turn(), and without a word
  if (!a.is_fiber) return;  // the kernel divides the time of threads
  if constexpr (detail::exploring) {
    if (a.lives_in && a.lives_in->controlled_by) return;  // turns are the control's
  }
  if (!in_forked_child()) yield_turn(a);
}
void spend_turn() noexcept { spend_turn(this_agent()); }

std::uint64_t wait_object::give_order() const noexcept {
  const std::uint64_t fresh = last_order.fetch_add(1, shim::order::relaxed) + 1;  // relaxed: only uniqueness matters
  std::uint64_t none = 0;
  // relaxed: publishes nothing but itself; who comes second takes the number of the first
  return order_.compare_exchange(none, fresh, shim::order::relaxed, shim::order::relaxed) ? fresh : none;
}

std::int64_t registered_nodes() noexcept {
#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
  return nodes.load(shim::order::relaxed);  // relaxed: a statistic
#else
  return 0;
#endif
}

}  // namespace runnel::inline RUNNEL_ABI::sched
