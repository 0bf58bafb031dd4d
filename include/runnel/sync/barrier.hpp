// A point that a number of fibers or threads reach together, round after round. As std::barrier.
//
// Use when: work goes in phases, and none may begin the next before all have ended this one. For one round: latch.
// Guarantees: what happened before an arrival happens before the completion function of its phase, and that before every
// wait for the phase that returns. The one who arrives last runs the completion function; the others go on behind it. May be
// destroyed right after a wait for its last phase.
// Blocking and cancellation: arrive_and_wait() that is canceled or too late takes its arrival back, unless the phase has
// everybody already: then it goes on as if nothing had been. A wait() with a token leaves the arrival where it is.
// Errors: more arrivals than a phase expects throw misuse; so does one from the completion function. Destroying one with
// waiters ends the process with a message that names them; outside of fibers it is only told.
// Cost: 64 bytes and the completion function; each operation is one short lock, the last arrival two.
// Source: std::barrier.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/detail/barrier_core.hpp>

#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

namespace detail {
struct no_completion {
  void operator()() const noexcept {}
};
}  // namespace detail

template <class Completion = detail::no_completion>
class barrier {
  static_assert(std::is_nothrow_invocable_v<Completion&>, "barrier: the completion function must be noexcept");

 public:
  /// One or more arrivals, to be waited for.
  class arrival_token {
   public:
    arrival_token(arrival_token&&) noexcept = default;
    arrival_token& operator=(arrival_token&&) noexcept = default;

   private:
    friend class barrier;
    explicit arrival_token(std::uint64_t phase) noexcept : phase_(phase) {}
    std::uint64_t phase_;
  };

  /// The most arrivals that a phase can have.
  static constexpr std::ptrdiff_t max() noexcept { return PTRDIFF_MAX; }
  /// Each phase has `expected` arrivals.
  explicit barrier(std::ptrdiff_t expected, Completion completion = Completion())
      : core_(expected), completion_(std::move(completion)) {}
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;

  /// n arrivals at once. The last of a phase runs the completion function, which may block.
  /// - blocks: as the completion function
  /// - cancel: ignores
  /// - threads: any
  [[nodiscard("to be given to wait()")]] arrival_token arrive(std::ptrdiff_t n = 1) {
    return arrival_token(see(core_.arrive(n)).phase);
  }
  /// One arrival, and one less that each later phase expects.
  /// - blocks: as the completion function
  /// - cancel: ignores
  /// - threads: any
  void arrive_and_drop() { see(core_.arrive_and_drop()); }
  /// - blocks: until the phase of the arrival is over
  /// - cancel: throws canceled; the arrival counts
  /// - threads: any
  RUNNEL_PARKS void wait(arrival_token&& t) const { static_cast<void>(core_.wait_until(t.phase_, never, nullptr)); }
  /// The same, observing ctx too.
  RUNNEL_PARKS void wait(const context& ctx, arrival_token&& t) const {
    static_cast<void>(core_.wait_until(t.phase_, never, &detail::node_of(ctx)));
  }
  /// False when the limit came first; the token may be waited for again.
  RUNNEL_PARKS bool wait_for(arrival_token&& t, duration limit) const {
    return core_.wait_until(t.phase_, limit.from_now(), nullptr);
  }
  /// - blocks: until everybody has arrived
  /// - cancel: throws canceled; then the caller has not arrived
  /// - threads: any
  RUNNEL_PARKS void arrive_and_wait() { static_cast<void>(arrive_and_wait_until(never, nullptr)); }
  /// The same, observing ctx too.
  RUNNEL_PARKS void arrive_and_wait(const context& ctx) {
    static_cast<void>(arrive_and_wait_until(never, &detail::node_of(ctx)));
  }
  /// False when the limit came first; then the caller has not arrived.
  RUNNEL_PARKS bool arrive_and_wait_for(duration limit) { return arrive_and_wait_until(limit.from_now(), nullptr); }

 private:
  using ending = detail::barrier_core::ending;
  const detail::barrier_core::arrival& see(const detail::barrier_core::arrival& a) {
    if (a.last) complete();
    return a;
  }
  void complete() {
    completion_();
    core_.complete();
  }
  bool arrive_and_wait_until(time_point deadline, detail::context_node* extra) {
    const ending e = core_.arrive_and_wait_until(deadline, extra);
    if (e == ending::last) complete();
    return e != ending::withdrawn;  // the barrier may be gone
  }

  detail::barrier_core core_;
  [[no_unique_address]] Completion completion_;
};

}  // namespace runnel::inline RUNNEL_ABI
