// The part of a barrier that does not depend on its completion function. Its protocol stands in src/sync/barrier.cpp.
#pragma once

#include <runnel/context.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace runnel::inline RUNNEL_ABI::detail {

class barrier_core {
 public:
  explicit barrier_core(std::ptrdiff_t expected);
  barrier_core(const barrier_core&) = delete;
  barrier_core& operator=(const barrier_core&) = delete;
  ~barrier_core();

  struct arrival {
    std::uint64_t phase;
    bool last;  ///< the caller runs the completion function and then calls complete()
  };
  arrival arrive(std::ptrdiff_t n);
  arrival arrive_and_drop();
  /// Begins the next phase. The caller touches nothing of the barrier afterwards.
  void complete() noexcept;

  bool wait_until(std::uint64_t phase, time_point deadline, context_node* extra) const;
  enum class ending : std::uint8_t { passed, withdrawn, last };
  /// One arrival of the caller and the wait for its phase; the arrival is taken back where the phase goes on without it.
  /// `last`: as in arrival.
  ending arrive_and_wait_until(time_point deadline, context_node* extra);

 private:
  std::optional<arrival> count(std::ptrdiff_t n, std::ptrdiff_t dropped) noexcept;
  arrival arrive(std::ptrdiff_t n, std::ptrdiff_t dropped);

  mutable sched::wait_object object_;
  std::ptrdiff_t expected_;      ///< of each phase; under object_.lock, as what follows
  std::ptrdiff_t pending_;       ///< of this phase; zero while it completes
  std::uint64_t phase_ = 0;
  mutable sched::wait_queue waiters_;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
