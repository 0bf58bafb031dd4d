#include "checker/execution.hpp"

#include "fiber/switch.hpp"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>

namespace model::detail {

namespace sanitizer = runnel::detail::sanitizer;

execution& execution::instance() noexcept {
  static execution& e = *new execution;
  return e;
}

void view::copy(const view& o) noexcept {
  clock = o.clock;
  size_ = o.size_;
  std::memcpy(at_, o.at_, size_ * sizeof at_[0]);
}

// ---- exploration -----------------------------------------------------------------------------------------------

result execution::explore(const bounds& b, void (*program)(void*), void* argument) {
  limits = b;
  choices_.clear();
  total_steps_ = 0;
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
  return r;
}

void execution::start() {
  ++number_;
  inside = true;
  failed_ = false;
  position_ = 0;
  preemptions_ = stale_reads = spurious_wakes = 0;
  thread_count_ = current_ = 0;
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
  while (!choices_.empty() && choices_.back().chosen + 1 >= choices_.back().count) choices_.pop_back();
  if (choices_.empty()) return false;
  ++choices_.back().chosen;
  return true;
}

std::uint32_t execution::choose(std::uint32_t n) {
  if (n < 2) return 0;
  if (position_ == choices_.size()) choices_.push_back({0, n});
  if (choices_[position_].count != n) fail("the program does not do the same when the same choices are made");
  return choices_[position_++].chosen;
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
  sanitizer::create(r.sanitizer, r.stack + 4096, stack_bytes - 4096, "model");
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
  sanitizer::after_switch(r.sanitizer, e.left_->sanitizer);
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
  sanitizer::after_switch(from->sanitizer, left_->sanitizer);
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
    bool all = true;
    for (unsigned t = 0; t < thread_count_; ++t) all &= threads_[t].what == state::finished;
    if (!all) fail("deadlock: no thread can go on");
    thread_record& from = self();
    switch_raw(&from, &outer_, true);
    return;
  }
  const unsigned next = options[choose(n)];
  if (self_ready && next != current_) ++preemptions_;
  thread_record& r = threads_[next];
  if (r.what == state::in_futex) r.timed_out = true;
  r.what = state::ready;
  switch_to(next);
}

void execution::begin_step() {
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
  const std::size_t first = steps_.size() > 300 ? steps_.size() - 300 : 0;
  if (first) all += "  ...\n";
  for (std::size_t i = first; i < steps_.size(); ++i) {
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
  message_ = "thread " + std::to_string(current_) + ": " + what;
  if (at.line) message_ += std::string(" at ") + at.file + ":" + std::to_string(at.line);
  message_ += "\n" + history();
  for (unsigned t = 0; t < thread_count_; ++t) {
    static constexpr const char* states[] = {"ready", "in a loop", "in a futex", "joining", "waiting", "finished"};
    message_ += "  thread " + std::to_string(t) + " is " + states[static_cast<int>(threads_[t].what)] + "\n";
  }
  failed_ = true;
  switch_raw(&self(), &outer_, true);
  std::abort();
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

void wait_until(bool (*f)(void*), void* argument) {
  const inside_checker now;
  execution& e = execution::instance();
  e.self().until = f;
  e.self().until_argument = argument;
  if (!f(argument)) e.block(state::waiting);
}

void fail(const char* what, const site& at) noexcept { execution::instance().fail(what, at); }

}  // namespace detail
}  // namespace model
