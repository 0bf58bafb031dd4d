#include "around/around.hpp"

#include "checker/execution.hpp"

#include "base/last_errno.hpp"
#include "fiber/switch.hpp"
#include "lockfree/hazard_domain.hpp"
#include "lockfree/rcu_state.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/fiber_pool.hpp"
#include "sched/monitor.hpp"
#include "sched/report.hpp"
#include "sched/signal_stack.hpp"
#include "sched/world.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/base/random.hpp>
#include <runnel/detail/task_core.hpp>
#include <runnel/sched/attachment.hpp>
#include <runnel/sched/left_waiters.hpp>
#include <runnel/sched/stripe.hpp>

#include <cxxabi.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

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
constexpr int eventfd_number = 100;

/// What belongs to a thread of the program. Each is touched by its own thread only.
struct own_state {
  sched::worker* worker = nullptr;
  bool on_fiber = false;
  void* loop_sp = nullptr;
  void* next_fiber = nullptr;  // to be switched to directly
  runnel::shim::atomic<void*>* left = nullptr;
  void* left_sp = nullptr;
  void* exceptions[2] = {};
  int error = 0;
  struct {
    void* what = nullptr;
    void (*ends)(void*) noexcept = nullptr;
  } attached[sched::attachments] = {};
};
std::array<own_state, threads> own;
sched::thread_agent agents[threads];
runnel::time_point now{};
bool random_choices = false;
bool reports_allowed = false;
std::array<sched::fiber*, stacks> spares;
unsigned spares_left = 0;

OUTSIDE own_state& mine() { return own[model::thread_number()]; }

alignas(16) std::byte stack_memory[stacks][stack_size];
unsigned stacks_used = 0;

std::optional<sched::worker> workers[4];
std::uint64_t kicks = 0;  // what the poller's eventfd holds

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
struct list_of {
  friend auto member(list_of) noexcept;
};
template struct expose<list_of, &sched::branch_list::list_>;
template struct expose<first_injected, &sched::runtime::injected_first_>;
template struct expose<last_injected, &sched::runtime::injected_last_>;
template struct expose<first_idle, &sched::idle_set::first_>;
template struct expose<count_of, &sched::runtime::count_>;
template struct expose<workers_of, &sched::runtime::workers_>;
struct running_of {
  friend auto member(running_of) noexcept;
};
using runnel::detail::hazard_domain;
struct blocks_of {
  friend auto member(blocks_of) noexcept;
};
struct free_of {
  friend auto member(free_of) noexcept;
};
struct idle_of {
  friend auto member(idle_of) noexcept;
};
template struct expose<blocks_of, &hazard_domain::blocks_>;
template struct expose<free_of, &hazard_domain::free_>;
template struct expose<idle_of, &hazard_domain::idle_>;
template struct expose<stopping_of, &sched::runtime::stopping_>;
template struct expose<running_of, &sched::runtime::running_>;

// Made before any execution: their atomic objects begin each execution anew.
sched::runtime& the_runtime = sched::runtime::instance();
[[maybe_unused]] runnel::detail::context_node& the_background = runnel::detail::background_node();
[[maybe_unused]] sched::wait_object& the_poller = sched::poller_object();

}  // namespace

namespace around {

OUTSIDE static void begin(unsigned n) noexcept {
  for (own_state& o : own) o = own_state{};
  now = {};
  random_choices = reports_allowed = false;
  stacks_used = 0;
  spares_left = 0;
  kicks = 0;
  if (n > 4) std::abort();
  // An execution that was given up has left these as they were.
  for (sched::thread_agent& t : agents) {
    t.sections_without_parking = 0;
    t.ambient = t.listens_to = nullptr;
    t.innermost = nullptr;
    t.shields = 0;
    t.reclaims = false;
    static_cast<runnel::detail::list_hook<sched::listener_tag>&>(t) = {};
  }
  the_runtime.*member(first_injected{}) = the_runtime.*member(last_injected{}) = nullptr;
  the_runtime.idle.*member(first_idle{}) = nullptr;
  new (&(the_runtime.listed.*member(list_of{}))) runnel::detail::intrusive_list<sched::branch, sched::branch_tag>;
  forget_timers();
}

world::world(unsigned n, bool poller) {
  begin(n);
  if (!poller) static_cast<void>(sched::try_enter_poller());
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
void world::begin_stop() noexcept {
  // seq_cst: as in runtime::end_workers()
  (the_runtime.*member(stopping_of{})).store(true, order::seq_cst);
  the_runtime.idle.wake_all();
}
void world::stop(unsigned n) noexcept {
  begin_stop();
  for (unsigned i = 0; i < n && i < the_runtime.workers(); ++i) model::check(worker(i).wait_ended(runnel::never), "not ended");
}
void world::keep_running() noexcept {
  // release: as in runtime::start()
  (the_runtime.*member(running_of{})).store(true, order::release);
}

OUTSIDE hazards::hazards() noexcept {
  hazard_domain& d = runnel::detail::hazards;
  d.*member(free_of{}) = nullptr;
  d.*member(idle_of{}) = nullptr;
}
OUTSIDE hazards::~hazards() {
  hazard_domain& d = runnel::detail::hazards;
  for (auto* c = d.*member(idle_of{}); c;) std::free(std::exchange(c, c->next_idle));
  for (own_state& o : own) std::free(std::exchange(o.attached[static_cast<int>(sched::attachment::hazards)].what, nullptr));
  // relaxed: all is over
  for (auto* b = (d.*member(blocks_of{})).load(order::relaxed); b;) std::free(std::exchange(b, b->next));
}
OUTSIDE void set_time(runnel::time_point t) noexcept { now = t; }

OUTSIDE void end_thread() noexcept {
  for (auto& a : mine().attached)
    if (void* const what = std::exchange(a.what, nullptr)) a.ends(what);
}

OUTSIDE void allow_reports() noexcept { reports_allowed = true; }

OUTSIDE void choose_at_random() noexcept { random_choices = true; }

OUTSIDE static std::byte* next_stack() noexcept {
  if (stacks_used == stacks) std::abort();
  return stack_memory[stacks_used++];
}

namespace {
void give_stack(sched::fiber& f) noexcept {
  std::byte* bottom = next_stack();
  f.stack_top = bottom + stack_size;
  runnel::detail::sanitizer::create(f.sanitizer, "fiber");
  runnel::detail::sanitizer::bind(f.sanitizer, bottom, stack_size);
  // relaxed: published by whatever makes the fiber runnable
  f.saved_sp.store(runnel::detail::prepare_stack(f.stack_top, &f), order::relaxed);
  f.state.store(sched::fiber_state::runnable, order::relaxed);  // relaxed: as above
}
OUTSIDE void keep_spare(sched::fiber& f) noexcept { spares[spares_left++] = &f; }
}  // namespace

spare_fiber::spare_fiber() noexcept {
  give_stack(*this);
  keep_spare(*this);
}

test_fiber::test_fiber(void (*f)(void*), void* argument) noexcept : f_(f), argument_(argument) {
  job::run = [](sched::job& j) noexcept {
    auto& self = static_cast<test_fiber&>(j);
    self.f_(self.argument_);
  };
  job::finished = [](sched::job& j) noexcept { static_cast<test_fiber&>(j).ended_ = true; };
  work.store(this, order::relaxed);  // relaxed: published by whatever makes the fiber runnable
  give_stack(*this);
}

}  // namespace around

// ---- the switch ------------------------------------------------------------------------------------------------

// The store of the stack pointer is the last access to the old stack, with release order. Here it is made on the loop's
// stack, on the way to the loop or to the next fiber: nothing lies between the two.
extern "C" OUTSIDE void runnel_switch(void** save, void* next) noexcept {
  own_state& me = mine();
  if (me.on_fiber) {
    me.left = reinterpret_cast<runnel::shim::atomic<void*>*>(save);
    me.next_fiber = next == me.loop_sp ? nullptr : next;
    runnel_raw_switch(&me.left_sp, me.loop_sp);
    return;  // on whichever thread resumes the fiber
  }
  for (me.next_fiber = next; me.next_fiber;) {
    me.on_fiber = true;
    void* const to = std::exchange(me.next_fiber, nullptr);
    runnel_raw_switch(&me.loop_sp, to);
    *save = me.loop_sp;
    me.on_fiber = false;
#if defined(RUNNEL_ASAN)  // the checker may switch at the store, so the switch that brought us here must be over by then
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
    me.left->store(me.left_sp, order::release);  // release: pairs with the load in worker::execute()
#if defined(RUNNEL_ASAN)  // which the one that is switched to ends once more
    void* none = nullptr;
    const model::detail::thread_record& here = model::detail::execution::instance().self();
    const std::byte* bottom = here.stack;
    std::size_t size = model::detail::stack_bytes;
    if (me.next_fiber) {
      const auto offset = static_cast<std::byte*>(me.next_fiber) - stack_memory[0];
      bottom = stack_memory[static_cast<std::size_t>(offset) / stack_size];
      size = stack_size;
    }
    __sanitizer_start_switch_fiber(&none, bottom, size);
#endif
  }
}

extern "C" int sched_yield() noexcept {
  runnel::shim::spin_pause();
  return 0;
}

// ---- the kernel as the poller sees it: an eventfd in an epoll, and time that passes while it sleeps

namespace {

OUTSIDE long wait_for_kick(epoll_event* events, const timespec* limit) noexcept {
  if (limit && limit->tv_sec == 0 && limit->tv_nsec == 0) return 0;
  const runnel::time_point until =
      limit ? now + std::chrono::seconds(limit->tv_sec) + std::chrono::nanoseconds(limit->tv_nsec) : runnel::never;
  if (!model::wait_until([]() noexcept { return kicks != 0; }, limit != nullptr)) {
    if (now < until) now = until;
    return 0;
  }
  events[0].events = EPOLLIN;
  events[0].data.fd = eventfd_number;
  return 1;
}

}  // namespace

extern "C" OUTSIDE long syscall(long number, ...) noexcept {
  va_list arguments;
  va_start(arguments, number);
  long result = 0;
  if (number == SYS_epoll_create1) {
    result = eventfd_number + 1;
  } else if (number == SYS_eventfd2) {
    result = eventfd_number;
  } else if (number == SYS_epoll_pwait2) {
    static_cast<void>(va_arg(arguments, int));
    auto* events = va_arg(arguments, epoll_event*);
    static_cast<void>(va_arg(arguments, int));
    result = wait_for_kick(events, va_arg(arguments, const timespec*));
  } else if (number == SYS_write) {
    ++kicks;
  } else if (number == SYS_read) {
    kicks = 0;
  } else if (number != SYS_epoll_ctl) {
    std::abort();
  }
  va_end(arguments);
  return result;
}

namespace __cxxabiv1 {
__cxa_eh_globals* own_exception_state() noexcept;  // worker_under_test.cpp
OUTSIDE __cxa_eh_globals* own_exception_state() noexcept { return reinterpret_cast<__cxa_eh_globals*>(mine().exceptions); }
}  // namespace __cxxabiv1

// ---- stand-ins -------------------------------------------------------------------------------------------------

namespace runnel::inline RUNNEL_ABI {

OUTSIDE time_point steady_clock::now() noexcept { return ::now; }

namespace detail {
int last_errno() noexcept { return *errno_address(); }
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
OUTSIDE void report(const char* format, ...) noexcept {
  if (!reports_allowed) fatal("%s", format);
}
void task_core::see_end() noexcept {}  // only announces
// Starting fibers is not a part of any model.
fiber_frame::fiber_frame(context_node&) noexcept { fatal("fiber_frame"); }
fiber_frame::~fiber_frame() = default;
void deliver_unhandled(std::exception_ptr) noexcept { fatal("deliver_unhandled"); }
OUTSIDE std::uint32_t random_below(std::uint32_t n) noexcept { return random_choices ? model::choose(n) : 0; }
}  // namespace detail

namespace sched {

OUTSIDE worker* this_worker() noexcept { return mine().worker; }
OUTSIDE void set_this_worker(worker* w) noexcept { mine().worker = w; }
agent& this_agent() {
  if (worker* w = this_worker())
    if (fiber* f = w->running()) return *f;
  return agents[model::thread_number()];
}

OUTSIDE void* attached(attachment which) noexcept { return mine().attached[static_cast<unsigned>(which)].what; }
OUTSIDE void attach(attachment which, void* what, void (*ends)(void*) noexcept) noexcept {
  mine().attached[static_cast<unsigned>(which)] = {what, ends};
}
place this_place() {
  agent& a = this_agent();
  return {a, a.is_fiber ? static_cast<const void*>(this_worker()) : &agents[model::thread_number()]};
}

OUTSIDE fiber* reserve_fiber(stack_class, std::string_view, const detail::site&) {
  if (spares_left == 0) throw std::bad_alloc();
  return spares[--spares_left];
}
const job* current_job() noexcept { return nullptr; }
void start_fiber(fiber* f, job& work) noexcept {
  f->work.store(&work, order::relaxed);  // relaxed: published by the run queue
  runtime::instance().schedule_new(f, this_worker());
}
void* begin_fiber(fiber&, fiber_cache&) noexcept { detail::fatal("begin_fiber"); }
void start_monitor(runtime&) {}
void stop_monitor() noexcept {}
void monitor_note_activity() noexcept {}
void stop_blocking_pool() noexcept {}
std::size_t abandon_fibers(const world*) noexcept { return 0; }
void notice_idleness() noexcept {}
fiber_cache::~fiber_cache() = default;
frame_cache::~frame_cache() = default;
void* take_frame(std::size_t bytes) { return ::operator new(bytes); }
void give_frame(void* p, std::size_t) noexcept { ::operator delete(p); }
// Nothing happens in a bubble.
world* this_world() noexcept { return nullptr; }
std::uint32_t number_of_this_world() noexcept { return 0; }
void world::parks(fiber&, bool) noexcept { detail::fatal("a bubble"); }
void world::goes_on(fiber&, bool) noexcept { detail::fatal("a bubble"); }
void world::member_ended() noexcept { detail::fatal("a bubble"); }
void release_fiber(fiber*) noexcept {}
void install_overflow_report() noexcept {}
void check_stack(const fiber&) noexcept {}
void watch_forks() noexcept {}
}  // namespace sched
namespace detail {
void watch_forks_of_rcu() noexcept {}
}  // namespace detail
namespace sched {
void refuse_in_forked_child() { detail::fatal("a forked child"); }
signal_stack::signal_stack() noexcept { memory_ = nullptr; }
signal_stack::~signal_stack() = default;
unsigned automatic_width() { return 1; }
std::string describe_caller() { return "a thread"; }
std::string describe(const waiter&) { return "a thread"; }
bool goes_on(const agent&) noexcept { return true; }
bool left_is_fatal() noexcept { return true; }
std::string describe_user_of(const void*) { return "a thread"; }
unsigned stripe_count() noexcept { return 2; }
unsigned stripe_of_caller() noexcept { return model::thread_number(); }

}  // namespace sched
}  // namespace runnel::inline RUNNEL_ABI
