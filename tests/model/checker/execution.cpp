#include "checker/execution.hpp"

#include "fiber/switch.hpp"

#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>

namespace model::detail {

namespace sanitizer = runnel::detail::sanitizer;

execution& execution::make() noexcept {
  the_one = new execution;  // kept: objects of the process may outlive everything
  return *the_one;
}

void view::copy(const view& o) noexcept {
  clock = o.clock;
  size_ = o.size_;
  std::memcpy(at_, o.at_, size_ * sizeof at_[0]);
}

// ---- exploration -----------------------------------------------------------------------------------------------

namespace {

/// A fault of the program is a failure like others; on the thread that it happened on, whose stack is never used again.
void on_fault(int) {
  execution& e = execution::instance();
  if (!e.active() || e.inside) std::abort();
  e.fail("the program has crashed (a null or dangling pointer?)");
}

class faults_reported {
 public:
  faults_reported() {
    struct sigaction handler {};
    handler.sa_handler = &on_fault;
    handler.sa_flags = SA_NODEFER;
    sigaction(SIGSEGV, &handler, &segv_);
    sigaction(SIGBUS, &handler, &bus_);
  }
  ~faults_reported() {
    sigaction(SIGSEGV, &segv_, nullptr);
    sigaction(SIGBUS, &bus_, nullptr);
  }
  faults_reported(const faults_reported&) = delete;
  faults_reported& operator=(const faults_reported&) = delete;

 private:
  struct sigaction segv_ {}, bus_ {};
};

}  // namespace

result execution::explore(const bounds& b, void (*program)(void*), void* argument) {
  const faults_reported now;
  limits = b;
  choices_.clear();
  total_steps_ = discarded_ = 0;
  result r;
  for (;;) {
    ++r.executions;
    start();
    threads_[add_thread(program, argument)].current.clear();
    active_ = true;
    switch_raw(&outer_, &threads_[0], false);
    active_ = false;
    total_steps_ += steps_.size();
    forget_plain_accesses();
    if (failed_) {
      r.what = verdict::failed;
      r.message = message_;
      break;
    }
    if (!advance()) break;
    if (r.executions >= limits.executions) {
      r.what = verdict::incomplete;
      r.message = "incomplete: " + std::to_string(r.executions) + " executions were not enough";
      break;
    }
  }
  r.steps = total_steps_;
  r.discarded = discarded_;
  return r;
}

void execution::start() {
  ++number_;
  inside = true;
  failed_ = false;
  position_ = 0;
  preemptions_ = stale_reads = spurious_wakes = 0;
  thread_count_ = current_ = 0;
  early_loads_.clear();
  promises_.clear();
  fails_if_kept_ = false;
  location_count = 0;
  views_used_ = 0;
  steps_.clear();
  sc_fences.clear();
  if (locations.size() < max_locations) locations.resize(max_locations);
  for (void*& e : outer_.exceptions) e = nullptr;
}

/// Prepares the next execution: the last choice that has another alternative takes it.
bool execution::advance() noexcept {
  choices_.resize(position_);
  while (!choices_.empty() && choices_.back().chosen + 1 >= std::max<std::size_t>(choices_.back().count, choices_.back().values.size()))
    choices_.pop_back();
  if (choices_.empty()) return false;
  ++choices_.back().chosen;
  return true;
}

std::uint32_t execution::choose(std::uint32_t n) {
  if (n < 2) return 0;
  if (position_ == choices_.size()) choices_.push_back({0, n, {}});
  if (choices_[position_].count != n) fail("the program does not do the same when the same choices are made");
  return choices_[position_++].chosen;
}

std::uint32_t execution::choose_load(const std::uint64_t* present, std::uint32_t n, std::uint64_t& value, bool& from_future) {
  if (position_ == choices_.size()) choices_.push_back({0, n, std::vector<std::uint64_t>(present, present + n)});
  const choice& c = choices_[position_++];
  if (c.count != n) fail("the program does not do the same when the same choices are made");
  value = c.values[c.chosen];
  from_future = c.chosen >= n;
  return c.chosen;
}

void execution::remember_load(std::uint32_t location) {
  early_loads_.push_back({location, self().current.clock[current_], static_cast<std::uint32_t>(position_ - 1),
                          static_cast<std::uint8_t>(current_)});
}

void execution::make_promise(std::uint32_t location, std::uint64_t value) {
  promises_.push_back({location, self().current.clock[current_], value, static_cast<std::uint8_t>(current_)});
}

promise* execution::known_promise(std::uint32_t location) noexcept {
  for (promise& p : promises_)
    if (p.location == location && knows(p.thread, p.clock)) return &p;
  return nullptr;
}

void execution::offer(std::uint32_t location, std::uint64_t value, const view& message) {
  for (const early_load& l : early_loads_) {
    if (l.location != location || l.thread == current_ || knows(l.thread, l.clock)) continue;
    std::vector<std::uint64_t>& values = choices_[l.choice].values;
    if (std::find(values.begin(), values.end(), value) == values.end()) values.push_back(value);
  }
  for (std::size_t i = 0; i < promises_.size();) {
    const promise p = promises_[i];
    if (p.location != location || p.value != value) {
      ++i;
      continue;
    }
    threads_[p.thread].current.raise(location, locations[location].stores.size() - 1);
    threads_[p.thread].pending.join(message);
    promises_.erase(promises_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

bool execution::has_promise(unsigned thread) const noexcept {
  return std::any_of(promises_.begin(), promises_.end(), [&](const promise& p) { return p.thread == thread; });
}

void execution::discard() {
  ++discarded_;
  leave_execution();
}

void execution::leave_execution() {
  inside = true;
  switch_raw(&self(), &outer_, true);
  std::abort();
}

// ---- threads ---------------------------------------------------------------------------------------------------

unsigned execution::add_thread(void (*f)(void*), void* argument) {
  if (thread_count_ == max_threads) fail("too many threads");
  const unsigned t = thread_count_++;
  thread_record& r = threads_[t];
  if (!r.stack) {
    void* memory = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    mprotect(memory, 4096, PROT_NONE);
    r.stack = static_cast<std::byte*>(memory);
  }
  sanitizer::create(r.sanitizer, "model");
  sanitizer::bind(r.sanitizer, r.stack + 4096, stack_bytes - 4096);
  r.sp = runnel::detail::prepare_stack(r.stack + stack_bytes, nullptr);
  r.exceptions[0] = r.exceptions[1] = nullptr;
  r.f = f;
  r.argument = argument;
  r.what = state::ready;
  r.timed = r.timed_out = false;
  r.pending.clear();
  r.fence_release.clear();
  if (t != 0) {
    r.current.copy(self().current);
    tick();
  }
  r.current.clock[t] = 1;
  return t;
}

void execution::enter() noexcept {
  execution& e = instance();
  thread_record& r = e.self();
  sanitizer::after_switch(r.sanitizer, e.left_->sanitizer, true);
  e.inside = false;
  r.f(r.argument);
  e.inside = true;
  e.tick();
  r.what = state::finished;
  e.note("ends", site{});
  e.pick_next(false);
  std::abort();  // nobody comes back to a finished thread
}

void execution::switch_raw(thread_record* from, thread_record* to, bool last) {
  auto* globals = reinterpret_cast<void**>(abi::__cxa_get_globals());
  std::memcpy(from->exceptions, globals, sizeof from->exceptions);
  std::memcpy(globals, to->exceptions, sizeof to->exceptions);
  left_ = from;
  sanitizer::before_switch(from->sanitizer, to->sanitizer, last);
  runnel_switch(&from->sp, to->sp);
  sanitizer::after_switch(from->sanitizer, left_->sanitizer, true);
}

void execution::switch_to(unsigned t) {
  thread_record& from = self();
  if (t == current_) return;
  current_ = t;
  switch_raw(&from, &threads_[t], from.what == state::finished);
}

bool execution::enabled(unsigned t) noexcept {
  thread_record& r = threads_[t];
  switch (r.what) {
    case state::ready: return true;
    case state::in_futex: return r.timed;  // by its time-out
    case state::joining: return threads_[r.target].what == state::finished;
    case state::waiting: return r.until(r.until_argument);
    case state::paused:
    case state::stopped:
    case state::finished: break;
  }
  return false;
}

void execution::pick_next(bool self_ready) {
  unsigned options[max_threads];
  std::uint32_t n = 0;
  if (self_ready) options[n++] = current_;
  if (!self_ready || preemptions_ < limits.preemptions) {
    for (unsigned t = 0; t < thread_count_; ++t)
      if (!(self_ready && t == current_) && enabled(t)) options[n++] = t;
  }
  if (n == 0) {  // only those are left who wait for the others' progress in a loop
    for (unsigned t = 0; t < thread_count_; ++t) {
      if (threads_[t].what != state::paused) continue;
      threads_[t].what = state::ready;
      options[n++] = t;
    }
  }
  if (n == 0) {
    for (unsigned t = 0; t < thread_count_; ++t)
      if (threads_[t].what == state::waiting && threads_[t].timed) options[n++] = t;
  }
  if (n == 0) {
    bool all = true;
    for (unsigned t = 0; t < thread_count_; ++t) all &= threads_[t].what == state::finished;
    if (!promises_.empty()) discard();
    report_if_kept();
    if (!all) fail("deadlock: no thread can go on");
    leave_execution();
  }
  const unsigned next = options[choose(n)];
  if (self_ready && next != current_) ++preemptions_;
  thread_record& r = threads_[next];
  if (r.what == state::in_futex || (r.what == state::waiting && !r.until(r.until_argument))) r.timed_out = true;
  r.what = state::ready;
  switch_to(next);
}

void execution::begin_step() {
  report_if_kept();
  if (steps_.size() >= limits.steps && !promises_.empty()) discard();
  if (steps_.size() >= limits.steps) fail("no end after " + std::to_string(steps_.size()) + " steps: a loop");
  pick_next(true);
}

void execution::block(state s) {
  self().what = s;
  pick_next(false);
}

// ---- reports ---------------------------------------------------------------------------------------------------

void execution::note(const char* what, const site& at, std::uint32_t location, std::uint64_t value, order o,
                     std::uint32_t age) {
  steps_.push_back({static_cast<std::uint8_t>(current_), what, at, location, value, age, o});
}

std::string execution::history() const {
  static constexpr const char* orders[] = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};
  std::string all;
  char line[512];
  constexpr std::size_t head = 300, tail = 40;  // of a long one
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    if (i == head && steps_.size() > head + tail) {
      all += "  ...\n";
      i = steps_.size() - tail;
    }
    const step& s = steps_[i];
    int n = std::snprintf(line, sizeof line, "  %4zu  thread %u  %s", i, s.thread, s.what);
    auto add = [&](auto... rest) {
      if (n > 0 && static_cast<std::size_t>(n) < sizeof line)
        n += std::snprintf(line + n, sizeof line - static_cast<std::size_t>(n), rest...);
    };
    if (s.location != ~0u)
      add(" #%u %s = %llu", s.location, orders[static_cast<int>(s.o)], static_cast<unsigned long long>(s.value));
    if (s.age) add(" (%u newer)", s.age);
    if (s.at.line) add("   %s:%u %s", s.at.file, s.at.line, s.at.function);
    all += line;
    all += '\n';
  }
  return all;
}

void execution::fail(const std::string& what, const site& at) {
  inside = true;
  std::string message = "thread " + std::to_string(current_) + ": " + what;
  if (at.line) message += std::string(" at ") + at.file + ":" + std::to_string(at.line);
  message += '\n';
  for (unsigned t = 0; t < thread_count_; ++t) {
    static constexpr const char* states[] = {"ready",   "in a loop", "in a futex",          "joining",
                                             "waiting", "finished",  "stopped by a failure"};
    message += "  thread " + std::to_string(t) + " is " + states[static_cast<int>(threads_[t].what)] + '\n';
  }
  if (!fails_if_kept_) failure_ = message;
  fails_if_kept_ = true;
  report_if_kept();
  for (;;) block(state::stopped);
}

/// The first failure is real once all promises are kept.
void execution::report_if_kept() {
  if (!fails_if_kept_ || !promises_.empty()) return;
  message_ = failure_ + history();
  failed_ = true;
  leave_execution();
}

}  // namespace model::detail

extern "C" void runnel_fiber_main(void*) noexcept {
  model::detail::execution::enter();
  std::abort();
}

// ---- for programs ----------------------------------------------------------------------------------------------

namespace model {

using detail::execution;
using detail::inside_checker;

result explore(const bounds& b, void (*program)(void*), void* argument) {
  return execution::instance().explore(b, program, argument);
}

void check(bool ok, const char* what, detail::site at) {
  if (!ok) detail::fail(what, at);
}

unsigned choose(unsigned n) {
  const inside_checker now;
  return execution::instance().choose(n);
}

unsigned thread_number() noexcept { return execution::instance().current(); }

namespace detail {

unsigned spawn(void (*f)(void*), void* argument) {
  const inside_checker now;
  execution& e = execution::instance();
  const unsigned t = e.add_thread(f, argument);
  e.note("starts a thread", site{});
  return t;
}

void join(unsigned t) {
  const inside_checker now;
  execution& e = execution::instance();
  e.self().target = t;
  if (e.threads()[t].what != state::finished) e.block(state::joining);
  e.self().current.join(e.threads()[t].current);
}

bool wait_until(bool (*f)(void*), void* argument, bool timed) {
  const inside_checker now;
  execution& e = execution::instance();
  thread_record& me = e.self();
  me.until = f;
  me.until_argument = argument;
  me.timed = timed;
  me.timed_out = false;
  if (!f(argument)) {
    e.note("waits", site{});
    e.block(state::waiting);
    e.note(me.timed_out ? "has waited long enough" : "goes on", site{});
  }
  return !me.timed_out;
}

void fail(const char* what, const site& at) noexcept { execution::instance().fail(what, at); }

}  // namespace detail
}  // namespace model
