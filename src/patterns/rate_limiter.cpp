// Waiting for tokens. allow() and reserve() are the bucket's.
//
// Invariants
//  1. Who has to wait counts in queued_, until it has turn_: then it is the first, and its tokens are booked.
//  2. Only the first has booked. So who gives up has nobody behind it but those who reserve(), and all that it had
//     booked goes back; and a change of the limits has to move one booking, not a queue.
//  3. head_ points to that booking while there is a first; both, and first_, are changed under the bucket's lock.
// No lost wake-up: the queue is a semaphore. The first looks at its booking and links its node in one critical section
// of the bucket's lock; who changes the limits moves the booking and claims the node in another one. The time to act
// ends the wait by itself.
// Rejected: a reservation for each who waits (Go's WaitN). Who gives up in the middle leaves a hole, because those
// behind it have their instants already; and a change of the rate is not noticed by anybody who sleeps.
#include <runnel/patterns/rate_limiter.hpp>

#include <runnel/error.hpp>
#include <runnel/sched/operation.hpp>

#include <algorithm>
#include <exception>

namespace runnel::inline RUNNEL_ABI {

using detail::raw_guard;
using sched::choice_point;
using sched::operation;

namespace {

using instant = detail::token_bucket::instant;

instant instant_of(time_point t) noexcept { return t.time_since_epoch().count(); }
time_point time_of(instant i) noexcept { return time_point(std::chrono::nanoseconds(i)); }
/// Of the caller's, so that sums do not overflow.
instant bounded(time_point t) noexcept { return std::clamp(instant_of(t), INT64_MIN / 4, INT64_MAX / 4); }
instant instant_now() noexcept { return instant_of(steady_clock::now()); }

}  // namespace

rate rate::per_second(double n) {
  if (!(n >= 0)) detail::throw_misuse("runnel::rate: a number of tokens a second below zero");
  return rate(n);
}

rate rate::every(duration d) {
  const auto ns = d.nanoseconds().count();
  if (ns <= 0) detail::throw_misuse("runnel::rate: every() needs a positive length: unlimited() is without limit");
  return rate(1e9 / static_cast<double>(ns));
}

rate_limiter::rate_limiter(rate r, std::uint64_t burst) : bucket_({r.tokens_per_second(), burst}, instant_now()) {}

bool rate_limiter::allow(std::uint64_t n) noexcept {
  choice_point(operation::acquire, this);
  return take(instant_now(), n);
}

bool rate_limiter::take(instant now, std::uint64_t n) noexcept {
  // relaxed: nothing hangs on when somebody who comes to wait is seen
  return queued_.load(shim::order::relaxed) == 0 && bucket_.take(now, n);
}

/// The instant, or a later one that was given before.
instant rate_limiter::given(time_point now) noexcept {
  const instant t = bounded(now);
  instant seen = latest_.load(shim::order::relaxed);  // relaxed, here and below: a number by itself
  while (seen < t)
    if (latest_.compare_exchange(seen, t, shim::order::relaxed, shim::order::relaxed)) return t;
  return seen;
}

bool rate_limiter::allow_at(time_point now, std::uint64_t n) noexcept {
  choice_point(operation::acquire, this);
  return take(given(now), n);
}

rate_limiter::reservation rate_limiter::book(instant now, instant latest, std::uint64_t n) noexcept {
  choice_point(operation::acquire, this);
  const bucket::booking b = bucket_.book(now, n, latest);
  return reservation(b.act == bucket::refused ? nullptr : this, n, b);
}

rate_limiter::reservation rate_limiter::reserve(std::uint64_t n) noexcept {
  return book(instant_now(), instant_of(never), n);
}
rate_limiter::reservation rate_limiter::reserve_at(time_point now, std::uint64_t n) noexcept {
  return book(given(now), instant_of(never), n);
}
rate_limiter::reservation rate_limiter::reserve_within(duration longest_wait, std::uint64_t n) noexcept {
  const time_point now = steady_clock::now();
  return book(instant_of(now), instant_of(longest_wait.after(now)), n);
}
rate_limiter::reservation rate_limiter::reserve_within_at(time_point now, duration longest_wait,
                                                          std::uint64_t n) noexcept {
  const instant t = given(now);
  return book(t, instant_of(longest_wait.after(time_of(t))), n);
}

time_point rate_limiter::reservation::time_to_act() const noexcept { return of_ ? time_of(booked_.act) : never; }

std::chrono::nanoseconds rate_limiter::reservation::delay_from(time_point now) const noexcept {
  if (!of_) return std::chrono::nanoseconds::max();
  return std::max(duration::between(now, time_of(booked_.act)).nanoseconds(), std::chrono::nanoseconds::zero());
}

void rate_limiter::reservation::cancel_at(time_point now) noexcept {
  rate_limiter* const of = std::exchange(of_, nullptr);
  if (!of) return;
  choice_point(operation::release, of);
  const instant t = bounded(now);
  if (booked_.act >= t) of->bucket_.give_back(booked_, t, n_, bucket::behind::stays);
}

// ---- Waiting

/// Somebody who waits and has not booked.
class rate_limiter::queued {
 public:
  /// Under the bucket's lock, as the step from here to head: so that tokens count once, as waited for or as booked.
  queued(rate_limiter& of, std::uint64_t n) noexcept : of_(of), n_(n) {
    raw_guard hold(of.bucket_.changes.lock);
    const std::uint64_t before = of.queued_.fetch_add(n, shim::order::relaxed);  // relaxed: see take()
    act_ = time_of(of.bucket_.when(instant_now(), before + n));
  }
  queued(const queued&) = delete;
  queued& operator=(const queued&) = delete;
  ~queued() { leave(); }
  void leave() noexcept { of_.queued_.fetch_sub(std::exchange(n_, 0), shim::order::relaxed); }  // relaxed: see take()
  /// When it may act if all before it take theirs.
  time_point act() const noexcept { return act_; }
  std::uint64_t tokens() const noexcept { return n_; }

 private:
  rate_limiter& of_;
  std::uint64_t n_;
  time_point act_;
};

/// The first of those who wait, whose tokens are booked.
class rate_limiter::head {
 public:
  head(rate_limiter& of, queued& q) noexcept : of_(of), n_(q.tokens()) {
    raw_guard hold(of.bucket_.changes.lock);
    booked_ = of.bucket_.book(instant_now(), n_, instant_of(never), bucket::bound::none);
    of.head_ = &booked_;
    q.leave();
  }
  head(const head&) = delete;
  head& operator=(const head&) = delete;
  ~head() {
    const instant now = instant_now();
    raw_guard hold(of_.bucket_.changes.lock);
    if (!acted_) of_.bucket_.give_back(booked_, now, n_, bucket::behind::moves_up);
    of_.head_ = nullptr;
  }
  /// False when the time to act lies behind the deadline.
  bool wait(time_point deadline, detail::context_node* extra) {
    for (;;) {
      sched::waiter w;
      sched::wait_node n(w);
      time_point act;
      {
        raw_guard hold(of_.bucket_.changes.lock);
        act = time_of(booked_.act);
        if (act > deadline) return false;
        acted_ = act <= steady_clock::now();
        if (acted_) return true;
        w.may_be_ended_by(of_.bucket_.changes);
        of_.first_.push_back(n);
      }
      const sched::claim_token t = detail::wait(w, sched::wait_reason::rate_limit, &of_, act, extra);
      if (t == sched::granted) continue;  // other limits
      {
        raw_guard hold(of_.bucket_.changes.lock);
        of_.first_.remove(n);
      }
      if (t == sched::was_canceled) detail::throw_wait_canceled(extra);
    }
  }

 private:
  rate_limiter& of_;
  const std::uint64_t n_;
  bucket::booking booked_;  ///< under the bucket's lock
  bool acted_ = false;
};

namespace {

/// Whether a context that was given with the wait will be canceled before `act`.
bool ends_before(time_point act, const context* ctx) {
  return ctx && act > detail::node_of(*ctx).deadline() && std::uncaught_exceptions() == 0;  // else it is shielded
}

/// As a time limit of the wait's own: the context is not canceled yet.
[[noreturn]] void throw_too_late() {
  const derived_context own = derive_cancel(context::background());
  throw deadline_exceeded(cancel_origin(detail::node_of(own.ctx)), nullptr);
}

}  // namespace

bool rate_limiter::wait_until(time_point deadline, const context* ctx, std::uint64_t n) {
  choice_point(operation::acquire, this);
  detail::check_canceled(ctx ? &detail::node_of(*ctx) : nullptr);
  if (n == 0 || allow(n)) return true;
  if (n > burst() && get_rate() != rate::unlimited())
    detail::throw_misuse("runnel::rate_limiter: waits for more tokens than the burst, which never come: "
                         "take them in parts");
  return wait_in_turn(deadline, ctx, n);
}

bool rate_limiter::wait_in_turn(time_point deadline, const context* ctx, std::uint64_t n) {
  queued waiting(*this, n);
  if (waiting.act() > deadline) return false;
  if (ends_before(waiting.act(), ctx)) throw_too_late();
  detail::context_node* const extra = ctx ? &detail::node_of(*ctx) : nullptr;
  if (!turn_.acquire_until(1, deadline, extra, {sched::wait_reason::rate_limit, this})) return false;
  const permit turn = permit::adopt(turn_);
  head first(*this, waiting);
  return first.wait(deadline, extra);
}

// ---- Settings

template <class Change>
void rate_limiter::change(instant now, Change c) {
  choice_point(operation::store, this);
  sched::wake_list woken;
  {
    raw_guard hold(bucket_.changes.lock);
    bucket::limits l = bucket_.current();
    c(l);
    bucket_.change(l, now, head_);
    woken.claim_all(first_);
  }
  woken.wake_all();
}

void rate_limiter::change_rate(instant now, rate r) {
  change(now, [r](bucket::limits& l) { l.rate = r.tokens_per_second(); });
}
void rate_limiter::change_burst(instant now, std::uint64_t n) {
  change(now, [n](bucket::limits& l) { l.burst = n; });
}
void rate_limiter::set_rate(rate r) { change_rate(instant_now(), r); }
void rate_limiter::set_rate_at(time_point now, rate r) { change_rate(given(now), r); }
void rate_limiter::set_burst(std::uint64_t n) { change_burst(instant_now(), n); }
void rate_limiter::set_burst_at(time_point now, std::uint64_t n) { change_burst(given(now), n); }

rate rate_limiter::get_rate() const noexcept {
  raw_guard hold(bucket_.changes.lock);
  return rate(bucket_.current().rate);
}
std::uint64_t rate_limiter::burst() const noexcept {
  raw_guard hold(bucket_.changes.lock);
  return bucket_.current().burst;
}
double rate_limiter::tokens_at(time_point now) const noexcept { return bucket_.tokens(bounded(now)); }

}  // namespace runnel::inline RUNNEL_ABI
