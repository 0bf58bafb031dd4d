#include "around/around.hpp"

#include "base/last_errno.hpp"
#include "fiber/switch.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/fiber_pool.hpp"
#include "sched/monitor.hpp"
#include "sched/signal_stack.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/base/random.hpp>

#include <cxxabi.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <optional>

// State of the kernel and of the checker's side: no access of it is a part of the program.
#define OUTSIDE __attribute__((no_sanitize("thread"), noinline))

// The switch proper, under a name that leaves runnel_switch to the stand-in below.
extern "C" void runnel_raw_switch(void** save, void* next) noexcept;

namespace {

namespace sched = runnel::sched;
namespace order = runnel::shim::order;

constexpr unsigned threads = 8;
constexpr unsigned stacks = 8;
constexpr std::size_t stack_size = 128 * 1024;

/// What belongs to a thread of the program. Each is touched by its own thread only.
struct own_state {
  sched::worker* worker = nullptr;
  bool on_fiber = false;
  runnel::shim::atomic<void*>* left = nullptr;
  void* left_sp = nullptr;
  void* exceptions[2] = {};
  int error = 0;
};
std::array<own_state, threads> own;
sched::thread_agent agents[threads];
runnel::time_point now{};

OUTSIDE own_state& mine() { return own[model::thread_number()]; }

alignas(16) std::byte stack_memory[stacks][stack_size];
unsigned stacks_used = 0;

std::optional<sched::worker> workers[4];
bool with_poller = false;
int kicks = 0;

// ---- the private parts of runtime that start() would set

template <class Tag, auto Member>
struct expose {
  friend auto member(Tag) noexcept { return Member; }
};
struct count_of {
  friend auto member(count_of) noexcept;
};
struct workers_of {
  friend auto member(workers_of) noexcept;
};
struct stopping_of {
  friend auto member(stopping_of) noexcept;
};
struct first_injected {
  friend auto member(first_injected) noexcept;
};
struct last_injected {
  friend auto member(last_injected) noexcept;
};
struct first_idle {
  friend auto member(first_idle) noexcept;
};
template struct expose<first_injected, &sched::runtime::injected_first_>;
template struct expose<last_injected, &sched::runtime::injected_last_>;
template struct expose<first_idle, &sched::idle_set::first_>;
template struct expose<count_of, &sched::runtime::count_>;
template struct expose<workers_of, &sched::runtime::workers_>;
template struct expose<stopping_of, &sched::runtime::stopping_>;

// Made before any execution: its atomic objects begin each execution anew.
sched::runtime& the_runtime = sched::runtime::instance();

}  // namespace

namespace around {

OUTSIDE static void begin(unsigned n, bool poller) noexcept {
  for (own_state& o : own) o = own_state{};
  now = {};
  stacks_used = 0;
  with_poller = poller;
  kicks = 0;
  if (n > 4) std::abort();
  // An execution that was given up has left these as they were.
  the_runtime.*member(first_injected{}) = the_runtime.*member(last_injected{}) = nullptr;
  the_runtime.idle.*member(first_idle{}) = nullptr;
  forget_timers();
}

world::world(unsigned n, bool poller) {
  begin(n, poller);
  the_runtime.*member(count_of{}) = n;
  for (unsigned i = 0; i < n; ++i) (the_runtime.*member(workers_of{}))[i] = &workers[i].emplace(the_runtime, i);
}
world::~world() {
  for (unsigned i = 0; i < the_runtime.workers(); ++i) {
    (the_runtime.*member(workers_of{}))[i] = nullptr;
    workers[i].reset();
  }
  the_runtime.*member(count_of{}) = 0;
}
sched::runtime& world::runtime() noexcept { return the_runtime; }
sched::worker& world::worker(unsigned i) noexcept { return the_runtime.at(i); }
void world::stop() noexcept {
  // seq_cst: as in runtime::end_workers()
  (the_runtime.*member(stopping_of{})).store(true, order::seq_cst);
  the_runtime.idle.wake_all();
  for (unsigned i = 0; i < the_runtime.workers(); ++i) model::check(worker(i).wait_ended(runnel::never), "not ended");
}
void world::become(sched::worker* w) noexcept { sched::set_this_worker(w); }

OUTSIDE void set_time(runnel::time_point t) noexcept { now = t; }

OUTSIDE static std::byte* next_stack() noexcept {
  if (stacks_used == stacks) std::abort();
  return stack_memory[stacks_used++];
}

test_fiber::test_fiber(void (*f)(void*), void* argument) noexcept : f_(f), argument_(argument) {
  stack_bottom = next_stack();
  stack_top = stack_bottom + stack_size;
  job::run = [](sched::job& j) noexcept {
    auto& self = static_cast<test_fiber&>(j);
    self.f_(self.argument_);
  };
  job::finished = [](sched::job& j) noexcept { static_cast<test_fiber&>(j).ended_ = true; };
  work = this;
  runnel::detail::sanitizer::create(sanitizer, stack_bottom, stack_size, "fiber");
  // relaxed: published by whatever makes the fiber runnable
  saved_sp.store(runnel::detail::prepare_stack(stack_top, static_cast<fiber*>(this)), order::relaxed);
  state.store(sched::fiber_state::runnable, order::relaxed);  // relaxed: as above
}

}  // namespace around

// ---- the switch ------------------------------------------------------------------------------------------------

// The store of the stack pointer is the last access to the old stack, with release order. Here it is made on the new
// stack, right after the switch: nothing lies between the two.
extern "C" OUTSIDE void runnel_switch(void** save, void* next) noexcept {
  own_state& me = mine();
  if (me.on_fiber) {
    me.on_fiber = false;
    me.left = reinterpret_cast<runnel::shim::atomic<void*>*>(save);
    runnel_raw_switch(&me.left_sp, next);
    return;  // on whichever thread resumes the fiber
  }
  me.on_fiber = true;
  runnel_raw_switch(save, next);
  me.left->store(me.left_sp, order::release);  // release: pairs with the load in worker::execute()
}

extern "C" int sched_yield() noexcept {
  runnel::shim::spin_pause();
  return 0;
}

namespace __cxxabiv1 {
__cxa_eh_globals* own_exception_state() noexcept;  // worker_under_test.cpp
OUTSIDE __cxa_eh_globals* own_exception_state() noexcept { return reinterpret_cast<__cxa_eh_globals*>(mine().exceptions); }
}  // namespace __cxxabiv1

// ---- stand-ins -------------------------------------------------------------------------------------------------

namespace runnel::inline RUNNEL_ABI {

OUTSIDE time_point steady_clock::now() noexcept { return ::now; }

namespace detail {
OUTSIDE int* errno_address() noexcept { return &mine().error; }
void fatal(const char* format, ...) noexcept {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  model::check(false, text);
  std::abort();
}
void report(const char* format, ...) noexcept { fatal("%s", format); }
std::uint32_t random_below(std::uint32_t) noexcept { return 0; }
}  // namespace detail

namespace sched {

OUTSIDE worker* this_worker() noexcept { return mine().worker; }
OUTSIDE void set_this_worker(worker* w) noexcept { mine().worker = w; }
agent& this_agent() {
  if (worker* w = this_worker())
    if (fiber* f = w->running()) return *f;
  return agents[model::thread_number()];
}

void start_monitor(runtime&) {}
void stop_monitor() noexcept {}
void monitor_note_activity() noexcept {}
void stop_blocking_pool() noexcept {}
void abandon_fibers() noexcept {}
void release_fiber(fiber*) noexcept {}
void install_overflow_report() noexcept {}
signal_stack::signal_stack() noexcept = default;
signal_stack::~signal_stack() = default;
unsigned automatic_width() { return 1; }

// ---- the poller: one sleeper at a time; a kick ends its sleep, or the next one

namespace {
shim::atomic<bool> role{false};
OUTSIDE bool has_poller() noexcept { return with_poller; }
OUTSIDE bool kicked() noexcept { return kicks != 0; }
OUTSIDE void set_kicks(int n) noexcept { kicks = n; }
}  // namespace

bool try_enter_poller() noexcept {
  return has_poller() && !role.exchange(true, shim::order::acquire);  // acquire: pairs with leave_poller()
}
void leave_poller() noexcept {
  role.store(false, shim::order::release);  // release: pairs with try_enter_poller()
}
void wait_in_poller() noexcept {
  model::wait_until([] { return kicked(); });
  set_kicks(0);
}
void kick_poller() noexcept { set_kicks(1); }
void timer_moved_up(time_point) noexcept {}
void poll_descriptors() noexcept {}

}  // namespace sched
}  // namespace runnel::inline RUNNEL_ABI
