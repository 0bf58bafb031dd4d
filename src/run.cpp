// run(): the root task, and what its end means for everything else.
#include <runnel/context.hpp>
#include <runnel/runtime.hpp>

#include "base/futex.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/fiber_pool.hpp"
#include "sched/monitor.hpp"
#include "sched/report.hpp"
#include "sched/runtime.hpp"
#include "sched/signals.hpp"

#include <cstdio>
#include <memory>
#include <string>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

/// The root of all detached tasks; canceled when the last run ends, live again afterwards.
context_node& detached_root() noexcept {
  alignas(plain_node) static unsigned char storage[sizeof(plain_node)];
  static plain_node& n = *new (storage) plain_node(nullptr, nullptr);  // never destroyed, as the background
  return n;
}

/// The first of the signals cancels the root, and then they are no longer caught.
struct signal_watch : sched::signal_subscriber {
  explicit signal_watch(task_core& r, const std::vector<int>& numbers) : root(r) {
    for (int n : numbers) {
      if (n < 1 || n > 63) throw_misuse("runnel::run: run_options::signals holds a number that is no signal");
      signals |= sched::signal_bit(n);
    }
    impatient = true;
    deliver = [](sched::signal_subscriber& s, int signo) noexcept {
      auto& self = static_cast<signal_watch&>(s);
      self.seen.store(signo, shim::order::relaxed);  // relaxed: read after the root's end, which it precedes
      self.root.cancel(nullptr);
      return true;
    };
    if (signals) sched::subscribe(*this);
  }
  ~signal_watch() {
    if (signals) sched::unsubscribe(*this);
  }
  task_core& root;
  shim::atomic<int> seen{0};
};

/// What run()'s thread waits on for a deadlock report; shared with the monitor, which may come late.
struct deadlock_watch {
  sched::waiter waiter;
  std::string report;
};
constexpr sched::claim_token deadlocked = 1;

/// Registered while in scope.
class scoped_handler {
 public:
  explicit scoped_handler(sched::deadlock_handler h) : number_(sched::add_deadlock_handler(std::move(h))) {}
  ~scoped_handler() { sched::remove_deadlock_handler(number_); }
  scoped_handler(const scoped_handler&) = delete;
  scoped_handler& operator=(const scoped_handler&) = delete;

 private:
  std::uint64_t number_;
};

/// True when the root has ended; false with a report when everything is deadlocked.
bool wait_for_root(task_core& root, bool watch_deadlock, std::string& report) {
  auto watch = std::make_shared<deadlock_watch>();
  sched::wait_node n(watch->waiter);
  std::unique_ptr<scoped_handler> handler;
  if (watch_deadlock)
    handler = std::make_unique<scoped_handler>([watch](const std::string& text) {
      watch->report = text;
      if (!watch->waiter.try_claim(deadlocked)) return false;
      watch->waiter.wake();
      return true;
    });
  {
    raw_guard hold(root.lock);
    if (root.done_locked()) {
      root.see_end();
      return true;
    }
    root.add_joiner(n);
  }
  if (sched::park(watch->waiter, sched::wait_reason::root_join, &root) != deadlocked) {
    root.see_end();
    return true;
  }
  report = watch->report;
  raw_guard hold(root.lock);
  root.remove_joiner(n);
  return false;
}

/// Ends what does not belong to a root; what is still there after the grace is reported and left.
void end_detached(duration grace) {
  detached_root().cancel(nullptr);
  bool all_ended;
  {
    scoped_handler nothing_will_change([](const std::string&) {
      sched::give_up_waiting();
      return true;
    });
    all_ended = sched::wait_until_none_live(grace.from_now());
  }
  if (!all_ended) {
    const std::string text = sched::describe_fibers("leak: these fibers are still there after run() and its grace");
    std::fputs(text.c_str(), stderr);
  }
}

/// One use of the runtime.
class user {
 public:
  explicit user(unsigned workers) { sched::runtime::instance().enter(workers); }
  ~user() {
    sched::runtime::instance().leave();
    detached_root().revive();
  }
  user(const user&) = delete;
  user& operator=(const user&) = delete;
};

}  // namespace

ambient_parents detached_parents() noexcept { return {&detached_root(), ambient().values}; }

int run_root(const run_options& o, task_core* core, int& result, site at) {
  const auto root = ref_ptr<task_core>::adopt(core);
  if (sched::this_agent().is_fiber) throw_misuse("runnel::run inside a fiber: use go() or a task_group there");
  user hold(o.workers);
  sched::set_hog_limit(o.hog_limit);
  signal_watch signals(*root, o.signals);
  root->start({stack_class::standard, "main", at});
  std::string report;
  std::exception_ptr verdict;
  if (!wait_for_root(*root, static_cast<bool>(o.on_deadlock), report)) {
    try {
      o.on_deadlock(report);
      std::fputs(report.c_str(), stderr);
      std::abort();
    } catch (...) {
      verdict = std::current_exception();
    }
    root->cancel(verdict);
  }
  if (sched::runtime::instance().last_user()) end_detached(o.grace);
  if (verdict) std::rethrow_exception(verdict);
  try {
    root->rethrow();
  } catch (const task_canceled&) {
    const int signo = signals.seen.load(shim::order::relaxed);  // relaxed: see signal_watch
    if (signo == 0) throw;
    return 128 + signo;
  }
  return result;
}

}  // namespace runnel::inline RUNNEL_ABI::detail

namespace runnel::inline RUNNEL_ABI {

runtime_stats stats() noexcept {
  sched::runtime& r = sched::runtime::instance();
  runtime_stats s;
  if (r.running()) {
    s.workers = r.workers();
    s.steals = r.steals();
  }
  s.live_fibers = sched::live_fibers();
  s.parked = static_cast<std::size_t>(r.parked_threads());
  sched::for_each_fiber([&](sched::fiber& f) {
    s.parked += f.state.load(shim::order::relaxed) == sched::fiber_state::parked;  // relaxed: a snapshot
  });
  s.armed_timers = sched::armed_timers();
  s.registered_waits = sched::registered_nodes();
  s.blocking_threads = sched::blocking_threads();
  s.kernel_wakes = detail::kernel_wakes();
  return s;
}

}  // namespace runnel::inline RUNNEL_ABI
