// The lock inside every other object of the library: one word, one read-modify-write to take it and a plain store to give
// it back. Users want runnel::mutex.
//
// It is never held across a suspension, so its holder always runs on a thread and needs a few dozen instructions. Who
// finds it taken stays away from the word for long enough that the holder gets many operations done before the lock, and
// all it guards, has to move to another core; if it is still taken after that, its holder was most likely taken off its
// processor: then the thread offers its own, and at last sleeps for a moment at a time. Nobody is ever woken, so unlock()
// need not know whether anybody waits, and no wake-up can be lost.
// Rejected: a word with a third state "held with sleepers" and a wake-up in unlock() (U. Drepper, "Futexes Are Tricky",
// 2011): a second read-modify-write on every path.
#pragma once

#include <runnel/base/abi.hpp>
#include <runnel/base/atomic.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::detail {

class raw_lock {
 public:
  raw_lock() noexcept = default;

  void lock() noexcept {
    std::uint32_t expected = free;
    // acquire: pairs with the release in unlock(); relaxed on failure: lock_slow() tries again with acquire.
    if (!word_.compare_exchange(expected, held, shim::order::acquire, shim::order::relaxed)) lock_slow();
  }
  bool try_lock() noexcept {
    std::uint32_t expected = free;
    // acquire: pairs with the release in unlock(); relaxed on failure: nothing was learnt.
    return word_.compare_exchange(expected, held, shim::order::acquire, shim::order::relaxed);
  }
  /// Whether nobody held it a moment ago; what the last holder did is visible then.
  bool seems_free() const noexcept {
    return word_.load(shim::order::acquire) == free;  // acquire: pairs with unlock()
  }
  void unlock() noexcept {
    word_.store(free, shim::order::release);  // release: publishes the critical section to the next acquire of the word
  }

 private:
  static constexpr std::uint32_t free = 0, held = 1;
  void lock_slow() noexcept;

  shim::atomic<std::uint32_t> word_{free};
};

/// Holds a raw_lock for a scope; may be unlocked before its end.
class raw_guard {
 public:
  explicit raw_guard(raw_lock& l) noexcept : lock_(&l) { lock_->lock(); }
  raw_guard(const raw_guard&) = delete;
  raw_guard& operator=(const raw_guard&) = delete;
  ~raw_guard() {
    if (lock_) lock_->unlock();
  }
  void unlock() noexcept {
    lock_->unlock();
    lock_ = nullptr;
  }

 private:
  raw_lock* lock_;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
