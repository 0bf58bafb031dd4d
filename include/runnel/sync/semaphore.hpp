// A counting semaphore for fibers and threads alike: permits that are taken, several at a time, and given back.
//
//   runnel::semaphore connections(8);
//   runnel::permit p(connections);  // given back at the end of the scope
//
// Use when: so many at a time may do something, or pieces of different weight share a budget. For exclusion use a mutex; to
// limit tasks, a task_group's limit.
// Guarantees: strictly first come, first served: who asks for many is not overtaken by those who ask for few, so it gets
// them in the end. acquire(0) succeeds at once, also behind others. What happened before release() happens before the
// acquire() that gets those permits. May be destroyed by whoever has acquired what was released last.
// Blocking and cancellation: acquire and the timed forms observe cancellation. Who gives up lets those behind it through.
// Errors: negative numbers, and more permits than its maximum, throw misuse and change nothing; destroying one with waiters
// ends the process with a message that names them.
// Cost: one compare-exchange to acquire and one to release while nobody waits.
// Source: Go's golang.org/x/sync/semaphore.
#pragma once

#include <runnel/context.hpp>

#include <cstddef>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

namespace detail {
class acquire_case_core;
}

class semaphore {
 public:
  /// So many permits are free, and there are never more than these: asking for more, or releasing more than was acquired, is
  /// misuse. One that begins without any is filled by release(), and has no such bound.
  explicit semaphore(std::ptrdiff_t permits) : semaphore(permits, permits > 0 ? permits : max()) {}
  /// The same with another bound, up to max().
  semaphore(std::ptrdiff_t permits, std::ptrdiff_t maximum);
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;
  ~semaphore();

  static constexpr std::ptrdiff_t max() noexcept { return PTRDIFF_MAX >> 1; }

  /// Takes n permits.
  /// - blocks: until n are free and everybody who came before has got theirs
  /// - cancel: throws canceled and takes none
  /// - threads: any
  RUNNEL_PARKS void acquire(std::ptrdiff_t n = 1) { static_cast<void>(acquire_until(n, never, nullptr)); }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until n are free and everybody who came before has got theirs
  /// - cancel: throws canceled and takes none
  /// - threads: any
  RUNNEL_PARKS void acquire(const context& ctx, std::ptrdiff_t n = 1) {
    static_cast<void>(acquire_until(n, never, &detail::node_of(ctx)));
  }
  /// Takes n permits if they are free and nobody waits. More than the maximum are never free.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool try_acquire(std::ptrdiff_t n = 1);
  /// False when the limit came first.
  /// - blocks: at most for the limit
  /// - cancel: throws canceled and takes none
  /// - threads: any
  RUNNEL_PARKS bool try_acquire_for(duration limit, std::ptrdiff_t n = 1) {
    return acquire_until(n, limit.from_now(), nullptr);
  }
  RUNNEL_PARKS bool try_acquire_until(time_point deadline, std::ptrdiff_t n = 1) { return acquire_until(n, deadline, nullptr); }
  /// Gives n permits back, or adds them.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void release(std::ptrdiff_t n = 1);
  /// How many permits were free a moment ago.
  std::ptrdiff_t available() const noexcept;

 private:
  friend detail::acquire_case_core;
  friend class rate_limiter;  // whose queue it is
  /// What reports say of a wait.
  struct reported {
    sched::wait_reason reason;
    const void* object;
  };
  bool acquire_until(std::ptrdiff_t n, time_point deadline, detail::context_node* extra) {
    return acquire_until(n, deadline, extra, {sched::wait_reason::semaphore, this});
  }
  bool acquire_until(std::ptrdiff_t n, time_point deadline, detail::context_node* extra, reported as);
  std::uint64_t checked(std::ptrdiff_t n) const;
  bool has_room(std::uint64_t free, std::uint64_t more) const noexcept;
  bool take(std::uint64_t n) noexcept;
  bool wait_for_turn(sched::agent& caller, std::uint64_t n, time_point deadline, detail::context_node* extra, reported as);
  void release_slow(std::uint64_t n);
  void see_release() noexcept;
  // Under object_.lock:
  std::uint64_t freeze() noexcept;
  bool can_take(std::uint64_t n) noexcept;
  void take_locked(std::uint64_t n) noexcept;
  void join_queue(sched::wait_node& n) noexcept;
  void leave_queue(sched::wait_node& n, sched::wake_list& woken) noexcept;
  void settle(std::uint64_t free, sched::wake_list& woken) noexcept;

  const std::ptrdiff_t maximum_;
  sched::wait_object object_;
  shim::atomic<std::uint64_t> word_;  ///< see semaphore.cpp
  sched::wait_queue waiters_;         ///< under object_.lock
};

/// Permits that are given back at the end of the scope.
class permit {
 public:
  /// Holds nothing.
  permit() noexcept = default;
  /// Acquires n permits of s.
  /// - blocks: until n are free and everybody who came before has got theirs
  /// - cancel: throws canceled and takes none
  /// - threads: any
  RUNNEL_PARKS explicit permit(semaphore& s, std::ptrdiff_t n = 1) : n_(n) {
    s.acquire(n);
    of_ = &s;
  }
  RUNNEL_PARKS permit(const context& ctx, semaphore& s, std::ptrdiff_t n = 1) : n_(n) {
    s.acquire(ctx, n);
    of_ = &s;
  }
  /// Takes over n permits that the caller has acquired: by try_acquire, or in a select.
  static permit adopt(semaphore& s, std::ptrdiff_t n = 1) noexcept { return permit(&s, n); }
  permit(permit&& o) noexcept : of_(std::exchange(o.of_, nullptr)), n_(o.n_) {}
  permit& operator=(permit&& o) noexcept {
    permit taken(std::move(o));
    std::swap(of_, taken.of_);
    std::swap(n_, taken.n_);
    return *this;
  }
  /// Gives back what it holds; ends the process where that is more than was acquired, as somebody has given it back before.
  ~permit() { release(); }

  /// Gives them back now.
  void release() {
    if (semaphore* s = std::exchange(of_, nullptr)) s->release(n_);
  }
  explicit operator bool() const noexcept { return of_ != nullptr; }

 private:
  permit(semaphore* s, std::ptrdiff_t n) noexcept : of_(s), n_(n) {}
  semaphore* of_ = nullptr;
  std::ptrdiff_t n_ = 0;
};

}  // namespace runnel::inline RUNNEL_ABI
