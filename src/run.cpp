// run(): the root task, and what its end means for everything else.
#include <runnel/base/assert.hpp>
#include <runnel/context.hpp>
#include <runnel/runtime.hpp>

#include "base/futex.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/fiber_pool.hpp"
#include "sched/monitor.hpp"
#include "sched/report.hpp"
#include "sched/runtime.hpp"
#include "sched/signals.hpp"
#include "sched/world.hpp"

#include <cstdio>
#include <memory>
#include <string>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

/// The root of all detached tasks; canceled when the last run ends, live again afterwards.
context_node& detached_root() noexcept {
  alignas(plain_node) static unsigned char storage[sizeof(plain_node)];
  static plain_node& n = *::new (storage) plain_node(nullptr, nullptr);  // never destroyed, as the background
  return n;
}

/// The first of the signals cancels the root, and then they are no longer caught.
struct signal_watch : sched::signal_subscriber {
  explicit signal_watch(task_core& r, const std::vector<int>& numbers) : root(r) {
    for (int n : numbers) {
      if (n < 1 || n > sched::last_signal) throw_misuse("runnel::run: run_options::signals holds a number that is no signal");
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
  enum class state : std::uint8_t { open, told, closed };
  sched::waiter waiter;
  std::string report;  ///< written once, by who makes it `told`
  raw_lock lock;
  state now = state::open;  ///< under the lock
  ~deadlock_watch() { sanitizer::hb_acquire(this); }  // whoever had it last frees what the other has used
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

/// run()'s thread as the one who waits for the root; made before the root is started.
class root_wait {
 public:
  root_wait(task_core& root, bool watch_deadlock) : root_(root), watch_(std::make_shared<deadlock_watch>()), node_(watch_->waiter) {
    if (watch_deadlock)
      handler_.emplace([watch = watch_](const std::string& text) { return tell(*watch, text); });
    raw_guard hold(root_.lock);
    root_.add_joiner(node_);
  }
  ~root_wait() {
    close();
    sanitizer::hb_release(watch_.get());
    raw_guard hold(root_.lock);
    root_.remove_joiner(node_);
  }
  root_wait(const root_wait&) = delete;
  root_wait& operator=(const root_wait&) = delete;

  /// True when the root has ended; false when everything is deadlocked.
  bool wait() {
    if (sched::park(watch_->waiter, sched::wait_reason::root_join, &root_) == deadlocked) {
      sanitizer::hb_acquire(watch_.get());
      return false;
    }
    close();
    root_.see_end();
    return true;
  }
  const std::string& report() const noexcept { return watch_->report; }

 private:
  /// On the monitor. It may look again while the thread is inside of on_deadlock, which reads the report and may wait for
  /// something else; and it may come when the thread is gone.
  static bool tell(deadlock_watch& w, std::string text) {
    {
      raw_guard hold(w.lock);
      if (w.now != deadlock_watch::state::open) return w.now == deadlock_watch::state::told;
      w.report = std::move(text);
      sanitizer::hb_release(&w);
      if (!w.waiter.try_claim(deadlocked)) return false;
      w.now = deadlock_watch::state::told;
    }
    w.waiter.wake();
    return true;
  }
  void close() noexcept {
    raw_guard hold(watch_->lock);
    watch_->now = deadlock_watch::state::closed;
  }
  task_core& root_;
  std::shared_ptr<deadlock_watch> watch_;
  sched::wait_node node_;
  std::optional<scoped_handler> handler_;
};

/// Ends what does not belong to a root; what is still there after the grace is reported and left.
void end_detached(duration grace) noexcept {
  detached_root().cancel(nullptr);
  if (sched::wait_until_none_live(grace.from_now())) return;
  try {
    const std::string text = sched::describe_fibers("leak: these fibers are still there after run() and its grace");
    std::fputs(text.c_str(), stderr);
  } catch (const std::bad_alloc&) {
    report("leak: fibers are still there after run() and its grace; there is no memory for their list");
  }
}

/// Starts the root and waits for its end; returns what on_deadlock threw.
std::exception_ptr wait_for_root(task_core& root, const run_options& o, const site& at) {
  root_wait end(root, static_cast<bool>(o.on_deadlock));
  root.start({stack_class::standard, "main", at});
  if (end.wait()) return nullptr;
  try {
    o.on_deadlock(end.report());
  } catch (...) {
    root.cancel(std::current_exception());  // it may end yet; then nothing is left behind
    return std::current_exception();
  }
  std::fputs(end.report().c_str(), stderr);
  std::abort();
}

/// Whether the last run() waits for what belongs to nobody: a deadlock then ends that wait, and is none.
shim::atomic<bool> ending_alone{false};

/// One use of the runtime.
class user {
 public:
  // Registered now: at the end there may be no memory for it.
  explicit user(unsigned workers)
      : nothing_will_change_([](const std::string&) {
          if (!ending_alone.load(shim::order::acquire)) return false;  // acquire: pairs with end()
          sched::give_up_waiting();
          return true;
        }) {
    sched::runtime::instance().enter(workers);
  }
  ~user() {
    if (!ending_) sched::runtime::instance().begin_leave();
    sched::runtime::instance().leave();
  }
  /// The root has ended: the last user ends what belongs to nobody.
  void end(duration grace) noexcept {
    ending_ = true;
    if (!sched::runtime::instance().begin_leave()) return;
    ending_alone.store(true, shim::order::release);  // release: pairs with the handler, which ends the wait below
    end_detached(grace);
    ending_alone.store(false, shim::order::release);  // release: as above
    detached_root().revive();
  }
  user(const user&) = delete;
  user& operator=(const user&) = delete;

 private:
  bool ending_ = false;
  scoped_handler nothing_will_change_;
};

}  // namespace

ambient_parents detached_parents() noexcept {
  const sched::world* w = sched::this_world();
  return {w ? w->ending : &detached_root(), ambient().values};
}

int run_root(const run_options& o, task_core* core, int& result, site at) {
  const auto root = ref_ptr<task_core>::adopt(core);
  if (sched::this_agent().is_fiber) throw_misuse("runnel::run inside a fiber: use go() or a task_group there");
  user hold(o.workers);
  sched::set_hog_limit(o.hog_limit);
  signal_watch signals(*root, o.signals);
  const std::exception_ptr verdict = wait_for_root(*root, o, at);
  hold.end(o.grace);
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
  sched::for_each_fiber([&](sched::fiber& f) { s.parked += sched::is_blocked(f); });
  s.armed_timers = sched::armed_timers();
  s.registered_waits = sched::registered_nodes();
  s.blocking_threads = sched::blocking_threads();
  s.kernel_wakes = detail::kernel_wakes();
  return s;
}

}  // namespace runnel::inline RUNNEL_ABI
