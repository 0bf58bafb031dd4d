#include "sched/fork.hpp"

#include "sched/runtime.hpp"

#include <runnel/error.hpp>

#include <pthread.h>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

template <class F>
void for_each_lock(F f) noexcept {
  f(lock_of_signals());
  f(lock_of_timers());
  for (std::size_t c = 0; c < 4; ++c) f(lock_of_free_fibers(c));
  f(lock_of_thread_agents());
}

void before_fork() noexcept {
  for_each_lock([](detail::raw_lock& l) { l.lock(); });
}
void after_fork() noexcept {
  for_each_lock([](detail::raw_lock& l) { l.unlock(); });
}
void in_child() noexcept {
  forked = runtime::instance().lost_in_fork();
  if (forked) forget_signals();
  after_fork();
}

}  // namespace

void watch_forks() noexcept {
  static const int registered = pthread_atfork(&before_fork, &after_fork, &in_child);
  static_cast<void>(registered);  // fails without memory: a child that misuses the library then hangs instead of throwing
}

void refuse_in_forked_child() {
  detail::throw_misuse("runnel: a forked child has no workers: it cannot wait or start anything; call exec or _exit");
}

}  // namespace runnel::inline RUNNEL_ABI::sched
