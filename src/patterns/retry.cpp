// The decisions of retry(): what may be tried again, and when.
//
// Delays are computed in floating point, bounded before they become nanoseconds: no number of failures overflows them.
#include <runnel/patterns/retry.hpp>

#include <runnel/base/random.hpp>
#include <runnel/error.hpp>
#include <runnel/time.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace runnel::inline RUNNEL_ABI {

using std::chrono::nanoseconds;

namespace {

double length(const duration& d) noexcept { return static_cast<double>(d.nanoseconds().count()); }

/// Of a number that is not negative; what is too much is the longest.
nanoseconds whole(double ns) noexcept {
  constexpr double end = 9223372036854775808.0;  // 2^63
  return ns < end ? nanoseconds(static_cast<std::int64_t>(ns)) : nanoseconds::max();
}

const retry_policy& checked(const retry_policy& p) {
  if (p.attempts == 0) detail::throw_misuse("runnel::retry: a policy without attempts: at least 1");
  if (p.budget.nanoseconds() < nanoseconds::zero()) detail::throw_misuse("runnel::retry: a negative budget");
  if (p.attempt_timeout.nanoseconds() <= nanoseconds::zero())
    detail::throw_misuse("runnel::retry: attempt_timeout must be positive: no attempt could succeed");
  if (p.delay.nanoseconds() < nanoseconds::zero()) detail::throw_misuse("runnel::retry: a negative delay");
  if (p.max_delay.nanoseconds() < p.delay.nanoseconds())
    detail::throw_misuse("runnel::retry: max_delay is shorter than delay, the first one");
  if (!(p.multiplier >= 1)) detail::throw_misuse("runnel::retry: a multiplier below 1: delays must not become shorter");
  if (std::isinf(p.multiplier)) detail::throw_misuse("runnel::retry: an infinite multiplier: no delay would stay none");
  return p;
}

}  // namespace

retry_delays::retry_delays(const retry_policy& policy) : policy_(checked(policy)), longest_(length(policy.delay)) {}

void retry_delays::reset() noexcept { longest_ = length(policy_.delay); }

double retry_delays::draw() const {
  if (!policy_.random) {
    constexpr std::uint32_t steps = 1u << 31;
    return static_cast<double>(detail::random_below(steps)) / (steps - 1);
  }
  const double drawn = policy_.random();
  if (!(drawn >= 0 && drawn <= 1))
    detail::throw_misuse("runnel::retry: the policy's random() must return numbers in [0, 1]");
  return drawn;
}

nanoseconds retry_delays::next() {
  const double cap = length(policy_.max_delay);
  const double whole_delay = longest_;
  double chosen = whole_delay;
  longest_ = std::min(cap, longest_ * policy_.multiplier);
  switch (policy_.jitter) {
    case jitter::none:
      break;
    case jitter::full:
      chosen = whole_delay * draw();
      break;
    case jitter::equal:
      chosen = whole_delay / 2 + whole_delay / 2 * draw();
      break;
    case jitter::decorrelated: {
      const double least = length(policy_.delay);
      const double most = std::min(whole_delay * (policy_.multiplier + 1), std::numeric_limits<double>::max());
      chosen = std::min(cap, least + (most - least) * draw());
      longest_ = chosen;
      break;
    }
  }
  return std::min(whole(chosen), policy_.max_delay.nanoseconds());
}

namespace detail {

retry_run::retry_run(const retry_policy& policy)
    : policy_(policy), delays_(policy), end_(policy.budget.from_now()) {
  check_canceled();
}

namespace {

enum class kind : std::uint8_t { failure, misuse, cancellation };

/// Somebody's time limit is a failure, unless the caller is under it himself. Any other cancellation is for good.
kind kind_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const deadline_exceeded& e) {
    return is_callers_own(e.origin().order()) ? kind::cancellation : kind::failure;
  } catch (const canceled&) {
    return kind::cancellation;
  } catch (const misuse&) {
    return kind::misuse;
  } catch (...) {
    return kind::failure;
  }
}

}  // namespace

bool retry_run::again() {
  const std::exception_ptr error = std::current_exception();
  const kind what = kind_of(error);
  if (what == kind::cancellation) return false;
  check_canceled();
  bool more = what == kind::failure && number_ < policy_.attempts && !(policy_.permanent && policy_.permanent(error));
  if (more) {
    delay_ = delays_.next();
    more = end_ == never || duration(delay_).from_now() <= end_;
  }
  if (policy_.on_failure) policy_.on_failure({number_, error, more ? std::optional(delay_) : std::nullopt});
  if (number_ != retry_policy::unlimited) ++number_;
  return more;
}

void retry_run::wait() { sleep_for(delay_); }

}  // namespace detail

}  // namespace runnel::inline RUNNEL_ABI
