#include "sched/runtime.hpp"

#include "base/futex.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/fiber_pool.hpp"
#include "sched/fork.hpp"
#include "sched/monitor.hpp"
#include "sched/poll.hpp"
#include "sched/signal_stack.hpp"

#include <runnel/error.hpp>

#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

/// Threads of the runtime take no asynchronous signals: a handler on a fiber's stack could meet it half switched.
class signals_blocked {
 public:
  signals_blocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

 private:
  sigset_t before_;
};

constexpr std::chrono::seconds stop_patience{1};

}  // namespace

runtime& runtime::instance() noexcept {
  // Never destroyed: fibers and waiters may refer to it until the process is gone.
  alignas(runtime) static unsigned char storage[sizeof(runtime)];
  static runtime& r = *new (storage) runtime;
  return r;
}

void runtime::enter(unsigned workers) {
  if (in_forked_child()) refuse_in_forked_child();
  detail::raw_guard hold(lifecycle_);
  if (ended_) detail::throw_misuse("runnel: the runtime has ended with the process: start nothing in late destructors");
  if (users_ == 0) {
    start(workers ? workers : automatic_width());
  } else if (workers && workers != count_) {
    detail::throw_misuse("runnel::run: the runtime already runs with another number of workers");
  }
  ++users_;
  ++staying_;
}

bool runtime::begin_leave() noexcept {
  detail::raw_guard hold(lifecycle_);
  return --staying_ == 0;
}

void runtime::leave() noexcept {
  detail::raw_guard hold(lifecycle_);
  if (--users_ == 0) stop();
}

void runtime::ensure_started() {
  if (running()) return;
  if (in_forked_child()) refuse_in_forked_child();
  detail::raw_guard hold(lifecycle_);
  if (users_ != 0) return;
  if (ended_) detail::throw_misuse("runnel: the runtime has ended with the process: start nothing in late destructors");
  start(automatic_width());
  users_ = 1;
  staying_ = 1;
  default_user_ = true;
  static const int registered = std::atexit([] {
    if (in_forked_child()) return;  // its threads are the parent's
    runtime& r = instance();
    detail::raw_guard stopping(r.lifecycle_);
    r.ended_ = true;
    if (!std::exchange(r.default_user_, false)) return;
    --r.staying_;
    if (--r.users_ == 0) r.stop();
  });
  static_cast<void>(registered);
}

void runtime::start(unsigned workers) {
  if (workers > max_workers) detail::throw_misuse("runnel: at most 256 workers");
  static const int registered = std::atexit([] {
    instance().process_ends_.store(true, shim::order::relaxed);  // relaxed: for those who destroy static objects behind it
  });
  static_cast<void>(registered);
  install_overflow_report();
  watch_forks();
  make_poller();
  stopping_.store(false, shim::order::release);  // release: before any worker looks
  signals_blocked guard;
  try {
    for (; count_ < workers; ++count_) workers_[count_] = new worker(*this, count_, workers > 1);
    for (unsigned i = 0; i < workers; ++i) threads_[i] = std::thread([w = workers_[i]] { w->main(); });
    start_monitor(*this);
  } catch (...) {
    end_workers();
    throw;
  }
  running_.store(true, shim::order::release);  // release: pairs with running()
}

void runtime::stop() noexcept {
  stop_monitor();
  stop_blocking_pool();
  end_workers();
  abandon_fibers();
  drop_queues();
  running_.store(false, shim::order::relaxed);  // relaxed: read again under lifecycle_ where it matters
}

void runtime::end_workers() noexcept {
  stopping_.store(true, shim::order::seq_cst);  // seq_cst: "stopping, then wake the idle" against their last look
  idle.wake_all();
  const time_point patience = steady_clock::now() + stop_patience;
  std::array<bool, max_workers> ended{};
  for (unsigned i = 0; i < count_; ++i) {
    ended[i] = !threads_[i].joinable() || workers_[i]->wait_ended(patience, stop_patience);  // not joinable: never started
    if (!threads_[i].joinable()) continue;
    if (ended[i]) {
      threads_[i].join();
    } else {
      threads_[i].detach();
    }
  }
  // Only now, when none looks at the others any more. One that a fiber keeps is left to that fiber, for good, and so are
  // all then: the fiber may know the lane of one on which it was before (fork_place).
  const bool all = std::all_of(ended.begin(), ended.begin() + count_, [](bool e) { return e; });
  for (unsigned i = 0; i < count_; ++i) {
    worker* w = std::exchange(workers_[i], nullptr);
    if (all) delete w;
  }
  count_ = 0;
}

bool runtime::lost_in_fork() noexcept {
  if (!running() && lifecycle_.try_lock()) {  // else somebody is starting or stopping it who is not here
    lifecycle_.unlock();
    return false;
  }
  running_.store(false, shim::order::relaxed);  // relaxed: there is no other thread
  if (worker* w = this_worker()) w->give_up();
  return true;
}

std::uint64_t runtime::steals() noexcept {
  if (!lifecycle_.try_lock()) return 0;
  std::uint64_t n = 0;
  for (unsigned i = 0; i < count_; ++i) n += workers_[i]->steals();
  lifecycle_.unlock();
  return n;
}

void runtime::drop_queues() noexcept {
  while (branch* b = listed.take()) hand_back(*b);
  detail::raw_guard hold(injection_);
  injected_first_ = injected_last_ = nullptr;
  injected_count_.store(0, shim::order::relaxed);  // relaxed: under the lock, and no worker runs
}

void runtime::schedule(fiber* f) noexcept {
  // relaxed: an abandoned fiber was left behind by a stop, which happened before whatever leads here
  if (f->state.load(shim::order::relaxed) == fiber_state::abandoned) return;
  f->state.store(fiber_state::runnable, shim::order::relaxed);  // relaxed: for reports
  worker* w = this_worker();
  if (w && !w->left_to_its_fiber()) {
    w->push_next(f);
    return;
  }
  if (in_forked_child()) return;  // nobody will run it
  inject(f, f, 1);
  idle.notify();
}

void runtime::schedule_new(fiber* f, worker* here) noexcept {
  if (here) {
    here->push_new(f);
    return;
  }
  if (in_forked_child()) return;  // as above
  inject(f, f, 1);
  idle.notify();
}

void runtime::schedule_last(fiber* f) noexcept {
  if (f->state.load(shim::order::relaxed) == fiber_state::abandoned) return;  // relaxed: as above
  f->state.store(fiber_state::runnable, shim::order::relaxed);                // relaxed: for reports
  worker* w = this_worker();
  if (w && !w->left_to_its_fiber()) {
    w->push_tail(f);
  } else {
    if (in_forked_child()) return;  // as above
    inject(f, f, 1);
  }
  idle.notify();
}

void runtime::inject(fiber* first, fiber* last, std::size_t count) noexcept {
  detail::raw_guard hold(injection_);
  last->next = nullptr;
  if (injected_last_) {
    injected_last_->next = first;
  } else {
    injected_first_ = first;
  }
  injected_last_ = last;
  // relaxed: written under the lock; who relies on it without the lock has a fence (idle_set.hpp)
  injected_count_.store(injected_count_.load(shim::order::relaxed) + count, shim::order::relaxed);
}

bool runtime::refill(worker& into) noexcept {
  if (!injected()) return false;
  detail::raw_guard hold(injection_);
  const std::size_t there = injected_count_.load(shim::order::relaxed);  // relaxed: under the lock
  const std::size_t n = std::min(there, std::min<std::size_t>(there / count_ + 1, run_queue::capacity / 2));
  std::size_t taken = 0;
  while (taken < n) {
    fiber* f = injected_first_;
    fiber* rest = f->next;
    if (!into.queue.push(f)) break;
    injected_first_ = rest;
    ++taken;
  }
  if (!injected_first_) injected_last_ = nullptr;
  injected_count_.store(there - taken, shim::order::relaxed);  // relaxed: as in inject()
  return taken != 0;
}

bool runtime::work_visible() noexcept {
  if (injected() || listed.any()) return true;
  for (unsigned i = 0; i < count_; ++i)
    if (!workers_[i]->queue.empty() || !workers_[i]->spawned.empty() || !workers_[i]->lane.deque.empty()) return true;
  const time_point timer = next_timer();
  return timer != never && timer <= steady_clock::now();
}

}  // namespace runnel::inline RUNNEL_ABI::sched
