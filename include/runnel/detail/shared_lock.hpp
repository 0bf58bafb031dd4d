// The compiled part of the locks for readers and writers.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/context.hpp>

#include <cstdint>
#include <memory>

namespace runnel::inline RUNNEL_ABI::detail {

/// What shared_mutex and its variants have in common.
class RUNNEL_CAPABILITY("shared_mutex") shared_lock {
 public:
  shared_lock(const shared_lock&) = delete;
  shared_lock& operator=(const shared_lock&) = delete;

  /// For writing.
  /// - blocks: until nobody else has it
  /// - cancel: ignores
  /// - threads: any
  RUNNEL_PARKS void lock() RUNNEL_ACQUIRE();
  /// The same, observing ctx and the ambient context.
  /// - blocks: until nobody else has it
  /// - cancel: throws canceled without the lock
  /// - threads: any
  RUNNEL_PARKS void lock(const context& ctx) RUNNEL_ACQUIRE();
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool try_lock() noexcept RUNNEL_TRY_ACQUIRE(true);
  /// False when the limit came first.
  /// - blocks: at most for the limit
  /// - cancel: ignores
  /// - threads: any
  RUNNEL_PARKS bool try_lock_for(duration limit) RUNNEL_TRY_ACQUIRE(true) { return try_lock_until(limit.from_now()); }
  RUNNEL_PARKS bool try_lock_until(time_point deadline) RUNNEL_TRY_ACQUIRE(true);
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void unlock() noexcept RUNNEL_RELEASE();

  /// For reading.
  /// - blocks: while somebody writes, or waits to (see the class)
  /// - cancel: ignores
  /// - threads: any
  RUNNEL_PARKS void lock_shared() RUNNEL_ACQUIRE_SHARED();
  /// The same, observing ctx and the ambient context.
  /// - blocks: while somebody writes, or waits to (see the class)
  /// - cancel: throws canceled without the lock
  /// - threads: any
  RUNNEL_PARKS void lock_shared(const context& ctx) RUNNEL_ACQUIRE_SHARED();
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool try_lock_shared() noexcept RUNNEL_TRY_ACQUIRE_SHARED(true);
  /// False when the limit came first.
  /// - blocks: at most for the limit
  /// - cancel: ignores
  /// - threads: any
  RUNNEL_PARKS bool try_lock_shared_for(duration limit) RUNNEL_TRY_ACQUIRE_SHARED(true) {
    return try_lock_shared_until(limit.from_now());
  }
  RUNNEL_PARKS bool try_lock_shared_until(time_point deadline) RUNNEL_TRY_ACQUIRE_SHARED(true);
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void unlock_shared() noexcept RUNNEL_RELEASE_SHARED();

  /// The writer becomes a reader; nobody writes in between. To be ended by unlock_shared().
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void unlock_and_lock_shared() noexcept RUNNEL_RELEASE() RUNNEL_ACQUIRE_SHARED();

 protected:
  /// In turns; readers before writers that only wait; in turns, with readers counted for each processor.
  enum class kind : std::uint8_t { fair, readers_first, striped };
  explicit shared_lock(kind k);
  ~shared_lock();

 private:
  enum class way : std::uint8_t { shared, exclusive };
  /// Who is in.
  struct state {
    std::int64_t readers = 0;
    bool writer = false;
  };
  struct alignas(64) stripe {
    shim::atomic<std::uint64_t> word{0};
  };

  shim::atomic<std::uint64_t>& own_word() noexcept;
  bool try_enter(way how) noexcept;
  bool try_leave(way how) noexcept;
  bool look(way how) noexcept;
  sched::claim_token acquire(way how, time_point deadline, bool cancelable, context_node* extra);
  sched::claim_token wait_for_turn(way how, time_point deadline, bool cancelable, context_node* extra);
  void release(way how, bool stays) noexcept;
  // Under object_.lock:
  void freeze() noexcept;
  bool enter(way how) noexcept;
  void let_in(bool readers_turn, sched::wake_list& woken) noexcept;
  void let_readers_in(sched::wake_list& woken) noexcept;
  void settle() noexcept;
  void see(way how) noexcept;

  shim::atomic<std::uint64_t> word_;  ///< see shared_lock.cpp
  const bool readers_first_;
  const std::uint32_t stripe_mask_ = 0;
  const std::unique_ptr<stripe[]> stripes_;  ///< null: word_ counts the readers
  sched::wait_object object_;
  // Under object_.lock.
  bool frozen_ = false;
  state state_;  ///< while frozen_
  sched::wait_queue readers_, writers_;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
