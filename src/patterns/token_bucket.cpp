// The word full_at_ is the state; the settings are five more words, which change together.
//
// Protocol
//  1. Bookings are one compare-exchange of full_at_. What is refused writes nothing.
//  2. The settings change under the lock: full_at_ becomes `changing`, then they are written, then full_at_ gets its
//     new value. Whoever finds `changing` waits for the lock.
//  3. Whoever uses the settings reads them between two looks at full_at_ (the second is the compare-exchange of a
//     booking). If both find the same, the settings are those that belong to it: this is a seqlock whose number is the
//     state itself.
//     A change never leaves full_at_ as it was: a full bucket is full since an instant that no other change has used.
//     (After several changes it may be to the nanosecond what it was; then one booking counts with settings of either
//     side.)
// Giving back: the word is the sum of all that was booked and not given back, and whoever acts does so when that sum,
// up to himself, has come. So all of a booking can be given back at any time, and never more is used than has come. To
// keep back what was booked behind it is a rule of courtesy: nobody who books later is served before them.
// Numbers: `far` bounds all instants, so that sums of two fit. A cost is rounded to whole nanoseconds.
// Rejected
//  - Tokens and the time of the last look under a lock (Go's x/time/rate): a refusal, the case that must be cheap under
//    load, writes two shared words.
//  - A pointer to immutable settings: one more miss for each booking, and somebody has to free them.
#include <runnel/detail/token_bucket.hpp>

#include <runnel/error.hpp>

#include <algorithm>
#include <cmath>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

using instant = token_bucket::instant;

constexpr instant changing = INT64_MIN;
constexpr instant always_full = INT64_MIN / 2;  // since then, or up to 2^32 ns later
constexpr instant far = INT64_MAX / 2;      // the year 2116; since the start of the machine even later
constexpr instant moves = INT64_MAX;         // in place of an instant at which time stands still
constexpr double longest_fill = 1ull << 61;  // 73 years
constexpr double second = 1e9;

/// A length that is not negative, bounded.
instant rounded(double ns) noexcept {
  constexpr double limit = 1ull << 62;
  return ns >= limit ? far : static_cast<instant>(ns + 0.5);
}

/// The bucket's time. Where it stands still, it does so also for who looked at the clock before that.
instant time_of(instant now, instant stands_at) noexcept { return stands_at == moves ? now : stands_at; }

}  // namespace

token_bucket::scale token_bucket::scale_of(limits l, instant now, std::uint32_t number) {
  if (!(l.rate >= 0)) throw_misuse("runnel::rate_limiter: a rate below zero");
  if (std::isinf(l.rate)) return {0, l.burst, 0, moves, number};
  const bool comes = second / l.rate <= longest_fill;  // a token that takes longer is one that never comes
  const double interval = comes ? second / l.rate : second;
  const double fill = interval * static_cast<double>(l.burst);
  if (!(fill <= longest_fill))
    throw_misuse(comes ? "runnel::rate_limiter: a burst that takes over 70 years to come: rate::none() gives one that never "
                         "comes"
                       : "runnel::rate_limiter: a burst of more than 2^31 tokens without a rate");
  return {interval, l.burst, rounded(fill), comes ? moves : now, number};
}

token_bucket::token_bucket(limits l, instant now) : full_at_(always_full), current_(l) { write(scale_of(l, now, 0)); }

token_bucket::scale token_bucket::read() const noexcept {
  // relaxed, all five: used only if full_at_ is the same before and after
  return {interval_.load(shim::order::relaxed), burst_.load(shim::order::relaxed), room_.load(shim::order::relaxed),
          stands_at_.load(shim::order::relaxed), number_.load(shim::order::relaxed)};
}

void token_bucket::write(const scale& s) noexcept {
  // relaxed, all five: between the fence and the release of full_at_ in change()
  interval_.store(s.interval, shim::order::relaxed), burst_.store(s.burst, shim::order::relaxed),
      room_.store(s.room, shim::order::relaxed), stands_at_.store(s.stands_at, shim::order::relaxed),
      number_.store(s.number, shim::order::relaxed);
}

/// full_at_ once the change that is under way is over.
instant token_bucket::after_change() const noexcept {
  raw_guard hold(changes.lock);
  return full_at_.load(shim::order::relaxed);  // relaxed: the settings are those of the last holder of the lock
}

/// n tokens at `now`, where the bucket would be full at full_at. `refused`: they never come.
token_bucket::booking token_bucket::outcome(const scale& s, instant full_at, instant now, std::uint64_t n) noexcept {
  if (s.interval == 0) return {now, full_at, s.number};
  if (n > INT64_MAX) return {refused, full_at, s.number};
  const instant t = time_of(now, s.stands_at);
  // the signed one is converted faster
  const double cost = static_cast<double>(static_cast<std::int64_t>(n)) * s.interval;
  const instant full = std::max(full_at, t) + rounded(cost);
  if (full > far) return {refused, full_at, s.number};
  const instant act = full - s.room;
  return {act <= t ? now : act <= s.stands_at ? act : refused, full, s.number};
}

/// As book(now, n, now), which most calls are. More than the burst does not fit into the room by itself, unless tokens
/// are so close that rounding takes several for one.
bool token_bucket::take(instant now, std::uint64_t n) noexcept {
  instant seen = full_at_.load(shim::order::acquire);  // acquire: as in book()
  for (;;) {
    // relaxed, all three: used only if full_at_ is the same before and after
    const double interval = interval_.load(shim::order::relaxed);
    const instant room = room_.load(shim::order::relaxed), stands_at = stands_at_.load(shim::order::relaxed);
    shim::fence(shim::order::acquire);  // acquire: as in book()
    const double cost = static_cast<double>(static_cast<std::int64_t>(n)) * interval + 0.5;
    const instant t = time_of(now, stands_at);
    if (seen == changing || interval < 1 || n > INT64_MAX || !(cost < longest_fill)) [[unlikely]]
      return book(now, n, now).act != refused;
    const instant full = std::max(seen, t) + static_cast<instant>(cost);
    const bool there = full - room <= t;
    // relaxed: hands on nothing but the number
    if (instant same = seen; there && full_at_.compare_exchange(same, full, shim::order::relaxed, shim::order::relaxed))
      return true;
    const instant again = full_at_.load(shim::order::acquire);  // acquire: as the first
    if (!there && again == seen) return false;
    seen = again;
  }
}

token_bucket::booking token_bucket::book(instant now, std::uint64_t n, instant latest, bound b) noexcept {
  instant seen = full_at_.load(shim::order::acquire);  // acquire: pairs with change(): the settings are at least as new
  for (;;) {
    if (seen == changing) seen = after_change();
    const scale s = read();
    // acquire: if any of the settings is of a later change, what follows finds `changing`, or something later
    shim::fence(shim::order::acquire);
    const booking made = outcome(s, seen, now, n);
    const bool fits = made.act <= latest && made.act != refused && (n <= s.burst || s.interval == 0);
    const bool possible = b == bound::none || fits;
    const bool writes = possible && made.full != seen;
    // relaxed: hands on nothing but the number
    if (instant same = seen;
        writes && full_at_.compare_exchange(same, made.full, shim::order::relaxed, shim::order::relaxed))
      return made;
    const instant again = full_at_.load(shim::order::acquire);  // acquire: as the first
    if (!writes && again == seen) return possible ? made : booking{};
    seen = again;
  }
}

/// full_at_, and the settings that belong to it.
instant token_bucket::consistent(scale& s) const noexcept {
  instant seen = full_at_.load(shim::order::acquire);  // acquire: as in book()
  for (;;) {
    if (seen == changing) seen = after_change();
    s = read();
    shim::fence(shim::order::acquire);  // acquire: as in book()
    const instant again = full_at_.load(shim::order::acquire);  // acquire: as in book()
    if (again == seen) return seen;
    seen = again;
  }
}

instant token_bucket::when(instant now, std::uint64_t n) const noexcept {
  scale s;
  const instant full_at = consistent(s);
  return outcome(s, full_at, now, n).act;
}

double token_bucket::tokens(instant now) const noexcept {
  scale s;
  const instant full_at = consistent(s);
  const auto burst = static_cast<double>(s.burst);
  if (s.interval == 0) return burst;
  const instant t = time_of(now, s.stands_at);
  return full_at <= t ? burst : burst - static_cast<double>(full_at - t) / s.interval;
}

void token_bucket::give_back(const booking& b, instant now, std::uint64_t n, behind what) noexcept {
  for (;;) {
    scale s;
    instant seen = consistent(s);
    const instant t = time_of(now, s.stands_at);
    if (s.interval == 0 || seen <= t) return;  // it is full
    instant back = rounded(static_cast<double>(static_cast<std::int64_t>(n)) * s.interval);
    if (what == behind::stays && s.number == b.settings) back -= std::max<instant>(seen - b.full, 0);
    if (back <= 0) return;
    // relaxed: as in book(); on failure everything is read again
    if (full_at_.compare_exchange(seen, std::max(seen - back, t), shim::order::relaxed, shim::order::relaxed)) return;
  }
}

void token_bucket::change(limits l, instant now, booking* also) {
  now = std::max(now, changed_at_);  // changes may come in another order than that in which they looked at the clock
  const scale old = read();  // ours: only who holds the lock writes them
  scale fresh = scale_of(l, now, old.number + 1);
  // so full_at_ changes
  if (fresh.stands_at != moves && old.stands_at != moves) fresh.stands_at = std::max(now, old.stands_at + 1);
  const instant old_now = time_of(now, old.stands_at), fresh_now = time_of(now, fresh.stands_at);
  const auto moved = [&](instant full) {
    const bool is_full = old.interval == 0 || full <= old_now;
    const double missing = is_full ? 0 : static_cast<double>(full - old_now) / old.interval;
    const double tokens = static_cast<double>(old.burst) - missing;
    const double then = (static_cast<double>(fresh.burst) - tokens) * fresh.interval;
    if (fresh.interval == 0 || then <= 0) return always_full + fresh.number;
    return std::min(far, fresh_now + std::min(far, rounded(then)));
  };
  const instant full = full_at_.exchange(changing, shim::order::relaxed);  // relaxed: a number
  // release: whoever has read one of the new settings, and passed the acquire fence, finds `changing` or something
  // later
  shim::fence(shim::order::release);
  write(fresh);
  const instant then = moved(full);
  // release: whoever has it as the first look has the settings
  full_at_.store(then == full ? then + 1 : then, shim::order::release);
  current_ = l, changed_at_ = now;
  if (also) *also = {outcome(fresh, moved(also->full), now, 0).act, moved(also->full), fresh.number};
}

}  // namespace runnel::inline RUNNEL_ABI::detail
