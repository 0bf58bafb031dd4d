#include "base/futex.hpp"

#include "base/last_errno.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <climits>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {
shim::atomic<std::uint64_t> wakes{0};

/// 0, or the number of the error. `until`: an instant or, for FUTEX_WAIT, a length. Leaves errno alone: it is the
/// fiber's, and a lock may be taken on its way out of a wait.
int futex(const void* address, int op, std::uint32_t value, const timespec* until) noexcept {
  const int before = last_errno();
  const long r = syscall(SYS_futex, address, op | FUTEX_PRIVATE_FLAG, value, until, nullptr, FUTEX_BITSET_MATCH_ANY);
  const int error = r < 0 ? last_errno() : 0;
  *errno_address() = before;
  return error;
}

// give_way(): see docs/design/0012.
constexpr int yields = 4;
constexpr timespec nap{0, 100'000};  // from now; nobody wakes it
}  // namespace

bool futex_wait(const shim::atomic<std::uint32_t>& word, std::uint32_t expected, time_point deadline) noexcept {
  if (deadline == never) {
    futex(word.address(), FUTEX_WAIT_BITSET, expected, nullptr);
    return true;
  }
  // WAIT_BITSET takes an absolute instant of CLOCK_MONOTONIC, which is what std::chrono::steady_clock counts.
  const auto since = deadline.time_since_epoch();
  const auto whole = std::chrono::floor<std::chrono::seconds>(since);
  if (since.count() < 0) return false;
  timespec until{};
  until.tv_sec = static_cast<time_t>(whole.count());
  until.tv_nsec = static_cast<long>(std::chrono::nanoseconds(since - whole).count());
  return futex(word.address(), FUTEX_WAIT_BITSET, expected, &until) != ETIMEDOUT;
}

void futex_wake(const shim::atomic<std::uint32_t>& word, int count) noexcept {
  count_kernel_wake();
  futex(word.address(), FUTEX_WAKE_BITSET, static_cast<std::uint32_t>(count), nullptr);
}

std::uint64_t kernel_wakes() noexcept {
  return wakes.load(shim::order::relaxed);  // relaxed: a statistic
}
void count_kernel_wake() noexcept {
  wakes.fetch_add(1, shim::order::relaxed);  // relaxed: a statistic
}

namespace {
void give_way(const void* word, std::uint32_t expected, int times) noexcept {
  if (times < yields) {
    sched_yield();
  } else {
    futex(word, FUTEX_WAIT, expected, &nap);
  }
}
}  // namespace

void give_way(const shim::atomic<std::uint32_t>& word, std::uint32_t expected, int times) noexcept {
  give_way(word.address(), expected, times);
}
void give_way(const shim::atomic<std::uint64_t>& word, std::uint64_t expected, int times) noexcept {
  static_assert(std::endian::native == std::endian::little);
  give_way(word.address(), static_cast<std::uint32_t>(expected), times);
}

}  // namespace runnel::inline RUNNEL_ABI::detail
