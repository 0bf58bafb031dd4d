// The compiled part of the locks for readers and writers: one waiting room, behind different words.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/context.hpp>

#include <cstdint>
#include <memory>

namespace runnel::inline RUNNEL_ABI::detail {

/// Who is in.
struct shared_state {
  std::int64_t readers = 0;
  bool writer = false;
};

/// Readers and writer in one word.
class shared_word {
 public:
  bool try_enter() noexcept;
  bool try_leave() noexcept;
  bool try_enter_shared() noexcept;
  bool try_leave_shared() noexcept;
  /// From here on all the above refuse. Into s, unless they did so before.
  void freeze(shared_state& s) noexcept;
  void thaw(const shared_state& s) noexcept;

 private:
  shim::atomic<std::uint64_t> word_{0};  ///< see shared_lock.cpp
};

/// Readers in a word for each processor; a writer always freezes them.
class striped_shared_word {
 public:
  striped_shared_word();
  bool try_enter() noexcept { return false; }
  bool try_leave() noexcept { return false; }
  bool try_enter_shared() noexcept;
  bool try_leave_shared() noexcept;
  void freeze(shared_state& s) noexcept;
  void thaw(const shared_state& s) noexcept;

 private:
  struct alignas(64) stripe {
    shim::atomic<std::uint64_t> word{0};
  };
  shim::atomic<std::uint64_t>& own() noexcept;

  const std::uint32_t mask_;
  bool frozen_ = false;  ///< under the lock of the waiting room
  const std::unique_ptr<stripe[]> stripes_;
};

/// What shared_mutex and its variants have in common. ReadersFirst: readers do not wait for writers that only wait.
template <class Word, bool ReadersFirst>
class RUNNEL_CAPABILITY("shared_mutex") shared_lock {
 public:
  shared_lock() = default;
  shared_lock(const shared_lock&) = delete;
  shared_lock& operator=(const shared_lock&) = delete;
  ~shared_lock();

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
  void unlock_and_lock_shared() noexcept RUNNEL_NO_THREAD_SAFETY_ANALYSIS;

 private:
  enum class way : std::uint8_t { shared, exclusive };
  bool look(way how) noexcept;
  sched::claim_token acquire(way how, time_point deadline, bool cancelable, context_node* extra);
  sched::claim_token wait_for_turn(way how, time_point deadline, bool cancelable, context_node* extra);
  void release(way how, bool stays) noexcept;
  // Under object_.lock, with the word frozen:
  bool enter(way how) noexcept;
  void let_in(bool readers_turn, sched::wake_list& woken) noexcept;
  void let_readers_in(sched::wake_list& woken) noexcept;
  void settle() noexcept;
  void see(way how) noexcept;

  Word word_;
  sched::wait_object object_;
  // Under object_.lock.
  shared_state state_;  ///< while the word is frozen
  sched::wait_queue readers_, writers_;
};

extern template class shared_lock<shared_word, false>;
extern template class shared_lock<shared_word, true>;
extern template class shared_lock<striped_shared_word, false>;

}  // namespace runnel::inline RUNNEL_ABI::detail
