// States, under lock_:
//   closed    --too many failures, in a row or in the window--> open
//   open      --a call after open_for--> half_open
//   half_open --`probes` successes--> closed;  --a failure--> open
// Invariants
//  1. probing_ + proved_ <= probes: a place is taken by admit(), and given back by a cancellation only.
//  2. A call reports to the generation that admitted it; every change begins a new one with counters at zero. So a call
//     that began before a change neither counts nor takes a place afterwards.
//  3. Each change is put into changes_ under the lock that made it, and told by one at a time, outside the lock.
// Rejected: a timer that makes it half-open. It would be a fiber or a callback that nobody waits for; the next call
// looks.
#include <runnel/patterns/circuit_breaker.hpp>

#include "patterns/flying.hpp"

#include <runnel/detail/task_core.hpp>

#include <algorithm>
#include <iterator>
#include <mutex>

namespace runnel::inline RUNNEL_ABI {

circuit_breaker::circuit_breaker(circuit_breaker_options options)
    : options_(std::move(options)),
      made_at_(steady_clock::now()),
      slice_length_(std::max<std::int64_t>(1, options_.window.nanoseconds().count() / std::ssize(window_))) {
  const auto refuse_unless = [](bool makes_sense, const char* what) {
    if (!makes_sense) detail::throw_misuse(what);
  };
  const bool by_ratio = options_.failure_ratio != 0;
  refuse_unless(options_.consecutive_failures > 0 || by_ratio,
                "runnel::circuit_breaker: nothing would open it: give consecutive_failures or failure_ratio");
  refuse_unless(!by_ratio || (options_.failure_ratio > 0 && options_.failure_ratio <= 1),
                "runnel::circuit_breaker: failure_ratio is above 0 and at most 1");
  refuse_unless(!by_ratio || (options_.minimum_calls > 0 && options_.window.nanoseconds().count() > 0),
                "runnel::circuit_breaker: failure_ratio needs minimum_calls and window above 0");
  refuse_unless(options_.open_for.nanoseconds().count() > 0, "runnel::circuit_breaker: open_for is above 0");
  refuse_unless(options_.probes > 0, "runnel::circuit_breaker: without probes it would never close again");
}

void circuit_breaker::admitted_call::threw() {
  if (detail::flies_as_cancellation()) {
    outcome_ = outcome::was_canceled;
    return;
  }
  outcome_ = outcome::failed;  // also where is_failure throws
  const auto& is_failure = breaker_.options_.is_failure;
  if (is_failure && !is_failure(std::current_exception())) outcome_ = outcome::succeeded;
}

bool circuit_breaker::may_probe(time_point now) const noexcept {
  return state_ == circuit_state::open && now >= options_.open_for.after(opened_at_);
}

std::uint64_t circuit_breaker::admit() {
  std::uint64_t generation = 0;
  {
    const std::scoped_lock hold(lock_);
    const time_point now = steady_clock::now();
    if (may_probe(now)) become(circuit_state::half_open);
    const bool probes_are_out = state_ == circuit_state::half_open && probing_ + proved_ >= options_.probes;
    if (state_ == circuit_state::open || probes_are_out) {
      ++counters_.refused;
      throw circuit_open(probes_are_out ? std::chrono::nanoseconds(0) : options_.open_for.after(opened_at_) - now);
    }
    if (state_ == circuit_state::half_open) ++probing_;
    generation = generation_;
  }
  tell_changes();
  return generation;
}

void circuit_breaker::report(std::uint64_t generation, outcome o) noexcept {
  {
    const std::scoped_lock hold(lock_);
    counters_.succeeded += o == outcome::succeeded;
    counters_.failed += o == outcome::failed;
    if (generation != generation_) return;
    if (state_ == circuit_state::half_open) {
      --probing_;
      if (o == outcome::failed) become(circuit_state::open);
      if (o == outcome::succeeded && ++proved_ == options_.probes) become(circuit_state::closed);
    } else if (o != outcome::was_canceled) {
      consecutive_ = o == outcome::failed ? consecutive_ + 1 : 0;
      count_in_window(o == outcome::failed);
      if (o == outcome::failed && too_many_failures()) become(circuit_state::open);
    }
  }
  tell_changes();
}

std::int64_t circuit_breaker::slice_number() const noexcept {
  return std::chrono::nanoseconds(steady_clock::now() - made_at_).count() / slice_length_;
}

void circuit_breaker::count_in_window(bool failure) noexcept {
  if (options_.failure_ratio == 0) return;
  const std::int64_t number = slice_number();
  slice& s = window_[static_cast<std::size_t>(number) % window_.size()];
  if (s.number != number) s = slice{.number = number};
  ++s.calls;
  s.failures += failure;
}

bool circuit_breaker::too_many_failures() const noexcept {
  if (options_.consecutive_failures > 0 && consecutive_ >= options_.consecutive_failures) return true;
  if (options_.failure_ratio == 0) return false;
  const std::int64_t oldest = slice_number() - std::ssize(window_) + 1;
  std::size_t calls = 0, failures = 0;
  for (const slice& s : window_) {
    if (s.number < 0 || s.number < oldest) continue;
    calls += s.calls;
    failures += s.failures;
  }
  return calls >= options_.minimum_calls &&
         static_cast<double>(failures) >= options_.failure_ratio * static_cast<double>(calls);
}

void circuit_breaker::become(circuit_state next) noexcept {
  const change c{state_, next};
  state_ = next;
  ++generation_;
  consecutive_ = probing_ = proved_ = 0;
  window_ = {};
  if (next == circuit_state::open) {
    opened_at_ = steady_clock::now();
    ++counters_.opened;
  }
  if (!options_.on_change) return;
  try {
    changes_.push_back(c);
  } catch (const std::bad_alloc&) {  // the state counts; who watches it misses one
  }
}

/// Who comes while another one tells leaves it to that one, so on_change may call the breaker.
void circuit_breaker::tell_changes() noexcept {
  if (!options_.on_change) return;
  std::unique_lock hold(lock_);
  if (telling_) return;
  telling_ = true;
  while (!changes_.empty()) {
    const change c = changes_.front();
    changes_.pop_front();
    hold.unlock();
    try {
      options_.on_change(c.from, c.to);
    } catch (...) {
      detail::deliver_unhandled(std::current_exception());
    }
    hold.lock();
  }
  telling_ = false;
}

circuit_state circuit_breaker::state() const {
  const std::scoped_lock hold(lock_);
  return may_probe(steady_clock::now()) ? circuit_state::half_open : state_;
}

circuit_counters circuit_breaker::counters() const {
  const std::scoped_lock hold(lock_);
  return counters_;
}

}  // namespace runnel::inline RUNNEL_ABI
