#include "sched/signals.hpp"

#include "base/last_errno.hpp"
#include "sched/fork.hpp"
#include "sched/poll.hpp"
#include "sched/runtime.hpp"
#include "sched/signal_stack.hpp"

#include <runnel/error.hpp>

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <new>
#include <string>
#include <system_error>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

detail::raw_lock lock;
/// Made at the first use and kept.
detail::intrusive_list<signal_subscriber, subscriber_tag>& subscribers() {
  using subscriber_list = detail::intrusive_list<signal_subscriber, subscriber_tag>;
  alignas(subscriber_list) static unsigned char storage[sizeof(subscriber_list)];
  static auto& list = *new (storage) subscriber_list;
  return list;
}
std::array<int, last_signal + 1> uses{};
std::array<struct sigaction, last_signal + 1> previous{};
shim::atomic<std::uint64_t> pending{0};
shim::atomic<std::uint64_t> impatient{0};
shim::atomic<int> descriptor{-1};

/// Whether an instruction has raised it, which would do so again and again: what kill() and its like send has no code above 0.
bool is_fault(int signo, const siginfo_t& info) noexcept {
  return info.si_code > 0 && (signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE || signo == SIGILL);
}

// Async-signal-safe.
void on_signal(int signo, siginfo_t* info, void* context) noexcept {
  if (is_fault(signo, *info)) return hand_on_fault(previous[static_cast<std::size_t>(signo)], signo, info, context);
  const int saved = detail::last_errno();
  // acq_rel: pairs with dispatch(); relaxed would do for the bit itself
  const std::uint64_t before = pending.fetch_or(signal_bit(signo), shim::order::acq_rel);
  // relaxed: a setting
  if ((before & signal_bit(signo)) && (impatient.load(shim::order::relaxed) & signal_bit(signo))) {
    signal(signo, SIG_DFL);
    raise(signo);
  }
  const std::uint64_t one = 1;
  // relaxed: set before any handler is installed
  syscall(SYS_write, descriptor.load(shim::order::relaxed), &one, sizeof one);
  *detail::errno_address() = saved;
}

/// Under the lock.
void release_signals(std::uint64_t signals) noexcept {
  for (int s = 1; s <= last_signal; ++s)
    if ((signals & signal_bit(s)) && --uses[static_cast<std::size_t>(s)] == 0)
      sigaction(s, &previous[static_cast<std::size_t>(s)], nullptr);
  std::uint64_t still = 0;
  subscribers().for_each([&](signal_subscriber& s) {
    if (s.impatient) still |= s.signals;
  });
  impatient.store(still, shim::order::relaxed);  // relaxed: a setting
}

void dispatch() noexcept {
  std::uint64_t count;
  // relaxed: set before the descriptor was watched
  syscall(SYS_read, descriptor.load(shim::order::relaxed), &count, sizeof count);
  const std::uint64_t now = pending.exchange(0, shim::order::acq_rel);  // acq_rel: pairs with on_signal()
  detail::raw_guard hold(lock);
  for (int s = 1; s <= last_signal; ++s) {
    if (!(now & signal_bit(s))) continue;
    // Each subscriber once, whatever is removed on the way: those seen go to the back.
    std::size_t n = 0;
    subscribers().for_each([&](signal_subscriber&) { ++n; });
    for (; n; --n) {
      signal_subscriber& one = *subscribers().pop_front();
      const bool enough = (one.signals & signal_bit(s)) && one.deliver(one, s);
      if (enough) {
        release_signals(one.signals);
      } else {
        subscribers().push_back(one);
      }
    }
  }
}

}  // namespace

detail::raw_lock& lock_of_signals() noexcept { return lock; }

void forget_signals() noexcept {
  for (int s = 1; s <= last_signal; ++s)
    if (uses[static_cast<std::size_t>(s)] != 0) sigaction(s, &previous[static_cast<std::size_t>(s)], nullptr);
}

void subscribe(signal_subscriber& s) {
  runtime::instance().ensure_started();
  detail::raw_guard hold(lock);
  if (descriptor.load(shim::order::relaxed) < 0) {  // relaxed: under the lock
    const int fd = static_cast<int>(syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));  // plain: see poller.cpp
    if (fd < 0)
      throw std::system_error(detail::last_errno(), std::generic_category(), "runnel: no descriptor for signals");
    descriptor.store(fd, shim::order::relaxed);  // relaxed: before any handler is installed
    watch_always(fd, &dispatch);
  }
  for (int n = 1; n <= last_signal; ++n) {
    if (!(s.signals & signal_bit(n))) continue;
    struct sigaction a;
    std::memset(&a, 0, sizeof a);
    a.sa_sigaction = &on_signal;
    a.sa_flags = SA_RESTART | SA_ONSTACK | SA_SIGINFO;
    sigfillset(&a.sa_mask);
    const auto i = static_cast<std::size_t>(n);
    if (uses[i] == 0 && sigaction(n, &a, &previous[i]) != 0) {
      release_signals(s.signals & (signal_bit(n) - 1));
      throw misuse("runnel: signal " + std::to_string(n) + " cannot be caught");
    }
    ++uses[i];
  }
  subscribers().push_back(s);
  if (s.impatient) impatient.fetch_or(s.signals, shim::order::relaxed);  // relaxed: a setting
}

bool signals_awaited() noexcept {
  detail::raw_guard hold(lock);
  bool any = false;
  subscribers().for_each([&](signal_subscriber& s) { any |= s.awaited && s.awaited(s); });
  return any;
}

void unsubscribe(signal_subscriber& s) noexcept {
  detail::raw_guard hold(lock);
  if (!s.linked()) return;
  subscribers().remove(s);
  release_signals(s.signals);
}

}  // namespace runnel::inline RUNNEL_ABI::sched
