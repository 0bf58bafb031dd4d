// One lock guards everything; idle threads sleep on a futex word that counts hand-overs.
//
// No lost wake-up: a submitter queues the job and raises `tickets` under the lock, then wakes one; an idle thread
// reads `tickets` under the lock that showed it an empty queue, and sleeps only while the word still has that value.
#include "sched/blocking_pool.hpp"

#include "base/futex.hpp"
#include "sched/runtime.hpp"

#include <pthread.h>
#include <signal.h>

#include <array>
#include <system_error>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

constexpr std::size_t max_threads = 512;
constexpr std::chrono::seconds keep_alive{10};

detail::raw_lock lock;
blocking_job* first = nullptr;
blocking_job* last = nullptr;
std::size_t queued = 0;
std::size_t in_flight = 0;
std::size_t idle = 0;
bool stopping = false;
shim::atomic<std::uint32_t> threads{0};
shim::atomic<std::uint32_t> tickets{0};

/// A thread of the pool. pthreads and not std::thread: nothing of it is on the heap, and who ended is joined later.
struct slot {
  enum : std::uint8_t { unused, running, ended } state = unused;
  pthread_t thread{};
};
std::array<slot, max_threads> slots;

blocking_job* pop() noexcept {
  blocking_job* j = first;
  if (!j) return nullptr;
  first = j->next;
  if (!first) last = nullptr;
  j->queued = false;
  --queued;
  ++in_flight;
  return j;
}

void* work(void* own_slot) noexcept {
  lock.lock();
  for (;;) {
    if (blocking_job* j = pop()) {
      lock.unlock();
      j->run(*j);
      lock.lock();
      --in_flight;
      continue;
    }
    if (stopping) break;
    const std::uint32_t seen = tickets.load(shim::order::relaxed);  // relaxed: under the lock
    ++idle;
    lock.unlock();
    const bool woken = detail::futex_wait(tickets, seen, steady_clock::now() + keep_alive);
    lock.lock();
    --idle;
    if (!woken && !first) break;
  }
  // release: pairs with stop_blocking_pool(); under the lock, so that submit() counts right
  const bool was_last = threads.fetch_sub(1, shim::order::release) == 1;
  const bool tell = stopping && was_last;
  static_cast<slot*>(own_slot)->state = slot::ended;
  lock.unlock();
  if (tell) detail::futex_wake(threads, 1);
  return nullptr;
}

/// Under the lock: a slot for a new thread, with the one that ended in it joined.
slot* take_slot() noexcept {
  for (slot& s : slots) {
    if (s.state == slot::running) continue;
    if (s.state == slot::ended) pthread_join(s.thread, nullptr);  // it has left the lock: at once
    s.state = slot::unused;
    return &s;
  }
  return nullptr;
}

/// Under the lock.
bool start_thread() noexcept {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  threads.fetch_add(1, shim::order::relaxed);  // relaxed: under the lock
  slot* s = take_slot();
  const bool started = s && pthread_create(&s->thread, nullptr, &work, s) == 0;
  if (started) {
    s->state = slot::running;
  } else {
    threads.fetch_sub(1, shim::order::relaxed);  // relaxed: under the lock
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace

void submit_blocking(blocking_job& j) {
  runtime::instance().ensure_started();
  bool wake = false;
  {
    detail::raw_guard hold(lock);
    if (idle > queued) {
      wake = true;
    } else if (threads.load(shim::order::relaxed) < max_threads) {  // relaxed: under the lock
      if (!start_thread() && threads.load(shim::order::relaxed) == 0)  // relaxed: under the lock
        throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                                "runnel::blocking: no thread can be started");
    }
    j.next = nullptr;
    j.queued = true;
    if (last) {
      last->next = &j;
    } else {
      first = &j;
    }
    last = &j;
    ++queued;
    tickets.store(tickets.load(shim::order::relaxed) + 1, shim::order::relaxed);  // relaxed: under the lock
  }
  if (wake) detail::futex_wake(tickets, 1);
}

bool withdraw_blocking(blocking_job& j) noexcept {
  detail::raw_guard hold(lock);
  if (!j.queued) return false;
  blocking_job* before = nullptr;
  for (blocking_job* at = first; at != &j; at = at->next) before = at;
  if (before) {
    before->next = j.next;
  } else {
    first = j.next;
  }
  if (last == &j) last = before;
  j.queued = false;
  --queued;
  return true;
}

std::size_t blocking_jobs() noexcept {
  detail::raw_guard hold(lock);
  return queued + in_flight;
}

std::size_t blocking_threads() noexcept {
  return threads.load(shim::order::relaxed);  // relaxed: a count for reports
}

void stop_blocking_pool() noexcept {
  {
    detail::raw_guard hold(lock);
    stopping = true;
    tickets.store(tickets.load(shim::order::relaxed) + 1, shim::order::relaxed);  // relaxed: under the lock
  }
  detail::futex_wake(tickets, static_cast<int>(max_threads));
  const time_point patience = steady_clock::now() + std::chrono::seconds(1);
  for (;;) {
    const std::uint32_t n = threads.load(shim::order::acquire);  // acquire: pairs with the end of work()
    if (n == 0 || !detail::futex_wait(threads, n, patience)) break;
  }
  detail::raw_guard hold(lock);
  stopping = false;
  for (slot& s : slots) {
    if (s.state != slot::ended) continue;
    pthread_join(s.thread, nullptr);
    s.state = slot::unused;
  }
}

}  // namespace runnel::inline RUNNEL_ABI::sched
