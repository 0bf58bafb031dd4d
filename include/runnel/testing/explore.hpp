// Exploration: runs a body again and again, each time in another order of events, until something goes wrong; and runs that
// order once more from a token.
//
//   const auto r = runnel::explore([] { the_test(); });
//   EXPECT_FALSE(r.failed) << r.trace;
//
// Use when: a test is about what several fibers do to each other. When not: they compute for long, or use threads, descriptors
// or clocks of their own; only what goes through the library is seen.
// How: the body runs in a bubble of virtual time, one fiber at a time. Before each public operation and each access of a
// runnel::atomic or shared_var another fiber may get the turn. Also chosen: the case of a select, testing::choose(), and when
// the next timer fires, which may be while others could still run. blocking() calls its function on the spot.
// Not explored: weak memory. Accesses of runnel::atomic are interleaved as if sequentially consistent; their orders count
// for the detection of races.
// The body must do the same when the same is chosen: no random numbers, addresses or real time that change its course. It
// reports failure by an exception.
// Needs the target runnel::explore instead of runnel::runnel: relink, no change to the code.
#pragma once

#include <runnel/runtime.hpp>
#include <runnel/testing/choose.hpp>
#include <runnel/testing/shared_var.hpp>

#include <stdexcept>
#include <string>
#include <string_view>

namespace runnel::inline RUNNEL_ABI {

/// How the next to run is chosen.
enum class explore_strategy : std::uint8_t {
  portfolio,       ///< all of the others in rotation
  random_walk,     ///< uniform at every point
  uniform_walk,    ///< uniform over whole orders, as far as the first one tells their lengths (Zhao et al. 2025)
  pct,             ///< strict random priorities with 0 to 2 changes (Burckhardt et al. 2010, https://doi.org/10.1145/1736020.1736040)
  delay_bounding,  ///< round-robin with 0, then 1, then 2 … delays (Emmi et al. 2011, https://doi.org/10.1145/1926385.1926432)
};

struct explore_options {
  std::size_t schedules = 1000;  ///< at most; at least 1
  duration budget = std::chrono::nanoseconds::max();  ///< of real time; the schedule that runs is not interrupted
  explore_strategy strategy = explore_strategy::portfolio;
  std::uint64_t seed = 0;
  std::size_t steps = 10'000;  ///< of one schedule before fair scheduling, and again before it counts as a livelock
};

/// What was found.
enum class verdict : std::uint8_t {
  ok,
  exception,  ///< left the body or a fiber, and nobody took it
  misuse,     ///< of the library: thrown and not taken, or a broken invariant that ends the process otherwise
  deadlock,   ///< the body can never go on
  leak,       ///< the body has ended, and a fiber can never go on
  race,       ///< two accesses of a shared_var, one of them a write, that nothing orders
  livelock,   ///< no end, even with fair scheduling
};
const char* to_string(verdict) noexcept;

struct explore_result {
  bool failed = false;
  runnel::verdict verdict = runnel::verdict::ok;
  std::size_t schedules = 0;  ///< that were run, the failing one included
  std::string token;          ///< for replay(); empty when nothing failed
  std::string trace;          ///< what failed, what every fiber waited for, the decisions and the operations
};

/// The failure that replay() has met again, where it is none that the body threw.
class explored_failure : public std::runtime_error {
 public:
  explored_failure(runnel::verdict v, const std::string& text) : std::runtime_error(text), verdict_(v) {}
  runnel::verdict verdict() const noexcept { return verdict_; }

 private:
  runnel::verdict verdict_;
};

/// The same decisions have led elsewhere: the body or the library has changed, or the body depends on something that is not
/// explored.
class replay_diverged : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {
explore_result run_explore(const explore_options& o, void (*call)(void* body), void* body, const site& at);
void run_replay(std::string_view token, void (*call)(void* body), void* body, const site& at);

template <class F>
inline constexpr bool needs_explore_build = exploring;
}  // namespace detail

/// Runs body in up to `schedules` orders of events and stops at the first that fails. The first order is run twice, to see
/// whether it can be repeated: replay_diverged if not. After a failure the fibers are canceled; what cannot be is left, with
/// what it owns.
/// Errors: misuse inside a bubble, or for no schedules.
/// - blocks: until it has an answer
/// - cancel: ignores
/// - threads: any that is not in a bubble
template <class F>
RUNNEL_PARKS explore_result explore(const explore_options& options, F&& body, source_location at = source_location::current()) {
  static_assert(detail::needs_explore_build<F>, "runnel: explore() needs the target runnel::explore instead of runnel::runnel");
  auto call = [&] { static_cast<void>(body()); };
  return detail::run_explore(options, [](void* c) { (*static_cast<decltype(call)*>(c))(); }, &call, at);
}
template <class F>
RUNNEL_PARKS explore_result explore(F&& body, source_location at = source_location::current()) {
  return explore(explore_options{}, std::forward<F>(body), at);
}

/// Runs body in the order that the token of a failure stands for; before that in the first order of all, where the failing one
/// was chosen by what that one tells (uniform_walk). Throws that failure: what the body threw, else
/// explored_failure. Throws replay_diverged when it goes otherwise, std::invalid_argument for what is no token.
/// - blocks: until the body has ended or failed
/// - cancel: ignores
/// - threads: any that is not in a bubble
template <class F>
RUNNEL_PARKS void replay(std::string_view token, F&& body, source_location at = source_location::current()) {
  static_assert(detail::needs_explore_build<F>, "runnel: replay() needs the target runnel::explore instead of runnel::runnel");
  auto call = [&] { static_cast<void>(body()); };
  detail::run_replay(token, [](void* c) { (*static_cast<decltype(call)*>(c))(); }, &call, at);
}

}  // namespace runnel::inline RUNNEL_ABI
