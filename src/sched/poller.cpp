// epoll, one instance, and an eventfd that ends its wait.
//
// Invariants (under `object.lock`)
//  1. A descriptor's entry exists while somebody waits for it; entries are kept and used again.
//  2. The kernel's interest is one-shot and covers exactly the directions that somebody waits for.
#include <runnel/base/assert.hpp>

#include "base/futex.hpp"
#include "base/last_errno.hpp"
#include "sched/poll.hpp"
#include "sched/runtime.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>
#include <system_error>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

// The library's own descriptors are used by plain system calls: a thread sanitizer takes those of libc for edges between the
// program's fibers.
int make_epoll() noexcept { return static_cast<int>(syscall(SYS_epoll_create1, EPOLL_CLOEXEC)); }
int make_eventfd() noexcept { return static_cast<int>(syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK)); }
int control(int epoll, int operation, int fd, epoll_event* e) noexcept {
  return static_cast<int>(syscall(SYS_epoll_ctl, epoll, operation, fd, e));
}
/// Null: for ever.
int wait_for_events(int epoll, epoll_event* events, int n, const timespec* limit) noexcept {
  const auto r = static_cast<int>(syscall(SYS_epoll_pwait2, epoll, events, n, limit, nullptr, 0));
  if (r >= 0 || detail::last_errno() == EINTR) return r;
  // Before Linux 5.11, or where a filter does not know it (and answers as it likes): in whole milliseconds, rounded up.
  const long ms = limit ? std::min(limit->tv_sec, 1'000'000L) * 1000 + (limit->tv_nsec + 999'999) / 1'000'000 : -1;
  return static_cast<int>(syscall(SYS_epoll_pwait, epoll, events, n, static_cast<int>(ms), nullptr, 0));
}

struct entry {
  wait_queue readers;
  wait_queue writers;
  bool known = false;  ///< the kernel has it, as far as we know
  wait_queue& of(readiness what) noexcept { return what == readiness::readable ? readers : writers; }
  std::uint32_t interest() const noexcept {
    return (readers.empty() ? 0u : EPOLLIN | EPOLLRDHUP) | (writers.empty() ? 0u : std::uint32_t{EPOLLOUT});
  }
};

/// Created at the first use and kept: its descriptors live as long as the process.
struct instance {
  int epoll = make_epoll();
  int kick = make_eventfd();
  wait_object object;
  // By descriptor, in pages that are made when needed and kept.
  static constexpr std::size_t page_entries = 256;
  std::array<entry*, 4096> pages{};
  entry& at(int fd) noexcept {
    const auto i = static_cast<std::size_t>(fd);
    return pages[i / page_entries][i % page_entries];
  }
  /// Throws where the descriptor's number is beyond the table, or there is no memory.
  entry& make(int fd) {
    const auto i = static_cast<std::size_t>(fd);
    if (i / page_entries >= pages.size())
      throw std::system_error(EMFILE, std::generic_category(), "runnel: a descriptor above 1048575 cannot be waited for");
    entry*& page = pages[i / page_entries];
    if (!page) {
      auto* memory = static_cast<entry*>(std::malloc(page_entries * sizeof(entry)));  // kept: see thread agents
      if (!memory) throw std::bad_alloc();
      for (std::size_t k = 0; k < page_entries; ++k) new (&memory[k]) entry;
      page = memory;
    }
    return at(fd);
  }
  void (*signal_call)() noexcept = nullptr;
  int signal_fd = -1;

  instance() {
    if (epoll < 0 || kick < 0) {
      const int why = detail::last_errno();
      if (epoll >= 0) ::close(epoll);
      throw std::system_error(why, std::generic_category(), "runnel: cannot create the poller");
    }
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.fd = kick;
    control(epoll, EPOLL_CTL_ADD, kick, &e);
  }
};

/// Made by make_poller(), and before it by whoever asks for it. Kept.
instance& poller() {
  alignas(instance) static unsigned char storage[sizeof(instance)];
  static instance& p = *new (storage) instance;
  return p;
}

shim::atomic<std::size_t> waiters{0};
shim::atomic<bool> role_taken{false};
shim::atomic<std::int64_t> sleeping_until{time_point::min().time_since_epoch().count()};

std::int64_t ns(time_point t) noexcept { return t.time_since_epoch().count(); }

/// The kick is for the one who sleeps in the poller: nobody else may take it.
void handle(epoll_event* events, int n, bool sleeper) noexcept {
  instance& p = poller();
  wake_list woken;
  bool own = false;
  {
    detail::raw_guard hold(p.object.lock);
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (fd == p.kick) {
        std::uint64_t count;
        if (sleeper) syscall(SYS_read, p.kick, &count, sizeof count);
        continue;
      }
      if (fd == p.signal_fd) {
        own = true;
        continue;
      }
      entry& e = p.at(fd);
      const std::uint32_t broken = events[i].events & (EPOLLERR | EPOLLHUP);
      const std::size_t before = waiters.load(shim::order::relaxed);  // relaxed: written under the lock
      std::size_t gone = 0;
      auto take = [&](wait_queue& q) {
        while (wait_node* w = q.front()) {
          q.remove(*w);
          ++gone;
          if (w->owner->try_claim(w->token)) woken.push(*w->owner);
        }
      };
      if (broken || (events[i].events & (EPOLLIN | EPOLLRDHUP))) take(e.readers);
      if (broken || (events[i].events & EPOLLOUT)) take(e.writers);
      waiters.store(before - gone, shim::order::relaxed);  // relaxed: written under the lock, read as a hint
      if (const std::uint32_t rest = e.interest()) {
        epoll_event again{};
        again.events = rest | EPOLLONESHOT;
        again.data.fd = fd;
        control(p.epoll, EPOLL_CTL_MOD, fd, &again);
      }
    }
  }
  if (own) p.signal_call();
  woken.wake_all();
}

constexpr int batch = 64;

}  // namespace

wait_object& poller_object() { return poller().object; }

bool watch(int fd, readiness what, wait_node& n) {
  runtime::instance().ensure_started();
  instance& p = poller();
  if (fd < 0) throw std::system_error(EBADF, std::generic_category(), "runnel: wait for a descriptor");
  entry& e = p.make(fd);
  n.owner->may_be_ended_from_outside();
  e.of(what).push_back(n);
  epoll_event event{};
  event.events = e.interest() | EPOLLONESHOT;
  event.data.fd = fd;
  // The kernel forgets a descriptor when it is closed, and its number may come back: try the other call then.
  int r = control(p.epoll, e.known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
  if (r != 0 && (detail::last_errno() == ENOENT || detail::last_errno() == EEXIST))
    r = control(p.epoll, e.known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  if (r != 0) {
    const int why = detail::last_errno();
    e.of(what).remove(n);
    if (why == EPERM) return false;
    throw std::system_error(why, std::generic_category(), "runnel: wait for a descriptor");
  }
  e.known = true;
  waiters.fetch_add(1, shim::order::relaxed);  // relaxed: read as a hint; who sleeps in the poller is told by the kernel
  return true;
}

void unwatch(int fd, readiness what, wait_node& n) noexcept {
  if (!n.linked()) return;
  entry& e = poller().at(fd);
  e.of(what).remove(n);
  waiters.fetch_sub(1, shim::order::relaxed);  // relaxed: read as a hint
}

bool ready_now(int fd, readiness what) {
  pollfd p{};
  p.fd = fd;
  p.events = what == readiness::readable ? POLLIN : POLLOUT;
  const int n = ::poll(&p, 1, 0);
  if (n > 0 && (p.revents & POLLNVAL))
    throw std::system_error(EBADF, std::generic_category(), "runnel: wait for a descriptor");
  return n > 0;
}

std::size_t descriptor_waiters() noexcept {
  return waiters.load(shim::order::relaxed);  // relaxed: a hint
}

void poll_descriptors() noexcept {
  // relaxed: a hint; a signal descriptor counts as a waiter through watch_always()
  if (waiters.load(shim::order::relaxed) == 0 && poller().signal_fd < 0) return;
  epoll_event events[batch];
  constexpr timespec at_once{};
  const int n = wait_for_events(poller().epoll, events, batch, &at_once);
  if (n > 0) handle(events, n, false);
}

void make_poller() { static_cast<void>(poller()); }

bool try_enter_poller() noexcept {
  return !role_taken.exchange(true, shim::order::acquire);  // acquire: pairs with leave_poller()
}
void leave_poller() noexcept {
  role_taken.store(false, shim::order::release);  // release: pairs with try_enter_poller(); sleeping_until has one writer
}

void wait_in_poller() noexcept {
  time_point until = next_timer();
  // seq_cst, then next_timer() again (seq_cst): see poll.hpp, no lost timer
  for (;;) {
    sleeping_until.store(ns(until), shim::order::seq_cst);
    const time_point now_next = next_timer();
    if (now_next >= until) break;
    until = now_next;
  }
  epoll_event events[batch];
  timespec limit{};
  if (until != never) {
    const time_point now = steady_clock::now();
    // Compared first: a deadline may lie so far in the past that its distance does not fit.
    const std::chrono::nanoseconds left = until <= now ? std::chrono::nanoseconds::zero() : until - now;
    limit.tv_sec = static_cast<time_t>(left.count() / 1'000'000'000);
    limit.tv_nsec = static_cast<long>(left.count() % 1'000'000'000);
  }
  const int n = wait_for_events(poller().epoll, events, batch, until == never ? nullptr : &limit);
  // relaxed: who still reads the old value kicks for nothing; the next sleeper's store comes later, see leave_poller()
  sleeping_until.store(ns(time_point::min()), shim::order::relaxed);
  if (n > 0) handle(events, n, true);
}

void kick_poller() noexcept {
  detail::count_kernel_wake();
  const std::uint64_t one = 1;
  syscall(SYS_write, poller().kick, &one, sizeof one);
}

void timer_moved_up(time_point deadline) noexcept {
  // seq_cst: see poll.hpp; the earliest possible value stands for "nobody sleeps there"
  if (ns(deadline) < sleeping_until.load(shim::order::seq_cst)) kick_poller();
}

void watch_always(int fd, void (*call)() noexcept) {
  instance& p = poller();
  detail::raw_guard hold(p.object.lock);
  p.signal_fd = fd;
  p.signal_call = call;
  epoll_event e{};
  e.events = EPOLLIN;
  e.data.fd = fd;
  control(p.epoll, EPOLL_CTL_ADD, fd, &e);
}

}  // namespace runnel::inline RUNNEL_ABI::sched
