// The lock inside every other object of the library: one word, spins briefly, then waits in the kernel.
//
// It is never held across a suspension, so its holder always runs on a thread, and a waiter may block its
// thread for the few instructions that the holder needs. Users want runnel::mutex.
// Source: U. Drepper, "Futexes Are Tricky" (2011), mutex 2 (states free, held, held with sleepers).
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
  void unlock() noexcept {
    // release: publishes the critical section to the next acquire of the word.
    if (word_.exchange(free, shim::order::release) == contended) wake_one();
  }

 private:
  static constexpr std::uint32_t free = 0, held = 1, contended = 2;
  void lock_slow() noexcept;
  void wake_one() noexcept;

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
