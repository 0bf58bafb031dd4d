// The kernel's wait-on-address: the only place that blocks a thread on a word.
#pragma once

#include <runnel/base/atomic.hpp>
#include <runnel/base/clock.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::detail {

/// Blocks while the word holds `expected`, at most until `deadline`; returns early for no reason at times.
/// False only when the deadline has passed.
bool futex_wait(const shim::atomic<std::uint32_t>& word, std::uint32_t expected, time_point deadline = never) noexcept;

/// Wakes up to `count` threads that wait on the word. The word's memory may be gone by then: it is never read.
void futex_wake(const shim::atomic<std::uint32_t>& word, int count) noexcept;

/// For who waits for a moment until the word changes, and is woken by nobody: offers the processor or, after some `times`,
/// sleeps for 100 µs while the word holds `expected`.
void give_way(const shim::atomic<std::uint32_t>& word, std::uint32_t expected, int times) noexcept;
/// The same for a larger word: sleeps while its low half is as expected.
void give_way(const shim::atomic<std::uint64_t>& word, std::uint64_t expected, int times) noexcept;

/// Wake-ups that were asked of the kernel since the process started: futex wakes and poller kicks.
std::uint64_t kernel_wakes() noexcept;
void count_kernel_wake() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
