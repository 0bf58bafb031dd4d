#include "sched/report.hpp"

#include "sched/fiber_pool.hpp"
#include "sched/runtime.hpp"
#include "sched/world.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/sched/left_waiters.hpp>

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

const char* to_string(fiber_state s) noexcept {
  switch (s) {
    case fiber_state::unused: return "unused";
    case fiber_state::reserved: return "not started";
    case fiber_state::runnable: return "runnable";
    case fiber_state::running: return "running";
    case fiber_state::parked: return "parked";
    case fiber_state::abandoned: return "abandoned";
  }
  return "?";
}

std::string name_of(const fiber_label::text& f) {
  std::string s = "fiber " + std::to_string(f.id);
  if (f.name[0]) s.append(" \"").append(f.name).append("\"");
  return s;
}

std::string site_of(const fiber_label::text& f) {
  return std::string(", started at ") + f.file + ":" + std::to_string(f.line);
}

}  // namespace

std::string describe_fibers(const char* heading, const world* of) {
  std::string s = std::string("runnel: ") + heading + "\n";
  for_each_fiber([&](fiber& f) {
    if (of && f.lives_in != of) return;
    // relaxed: a report may be a moment behind
    const fiber_state state = f.state.load(shim::order::relaxed);
    const wait_reason reason = f.reason.load(shim::order::relaxed);
    const fiber_label::text who = f.label.read();
    s += "  " + name_of(who) + ": " + to_string(state);
    if (reason != wait_reason::none) {
      char object[32];
      std::snprintf(object, sizeof object, "%p", f.object.load(shim::order::relaxed));  // relaxed: as above
      s.append(" in ").append(sched::to_string(reason));
      if (f.object.load(shim::order::relaxed)) s.append(" of ").append(object);  // relaxed: as above
      if (f.timed.load(shim::order::relaxed)) s += ", with a deadline";          // relaxed: as above
    }
    s += site_of(who) + "\n";
  });
  return s;
}

static std::string describe(const agent& a) {
  if (!a.is_fiber) return "a thread outside the runtime";
  const fiber_label::text who = static_cast<const fiber&>(a).label.read();
  return name_of(who) + site_of(who);
}

std::string describe_user_of(const void* thread) {
  runtime& r = runtime::instance();
  for (unsigned i = 0; i < r.workers(); ++i)
    if (&r.at(i) == thread)
      if (const fiber* f = r.at(i).running()) return describe(*f);
  return "a thread outside the runtime";
}

bool goes_on(const agent& a) noexcept {
  if (runtime::instance().process_ends()) return false;
  // relaxed: whoever asks comes after the stop that has left it behind
  return !a.is_fiber || static_cast<const fiber&>(a).state.load(shim::order::relaxed) != fiber_state::abandoned;
}

bool left_is_fatal() noexcept { return this_agent().is_fiber; }

std::string describe_caller() { return describe(this_agent()); }
std::string describe(const waiter& w) { return describe(w.who()); }

}  // namespace runnel::inline RUNNEL_ABI::sched

namespace runnel::inline RUNNEL_ABI::detail {

namespace {
/// Allocates nothing: it may be memory that is short.
void print(const char* prefix, const char* format, std::va_list arguments, const char* tail) noexcept {
  char line[1024];
  std::size_t n = 0;
  const auto advance = [&](int written) { n = std::min(sizeof line - 2, n + static_cast<std::size_t>(std::max(0, written))); };
  advance(std::snprintf(line, sizeof line, "%s", prefix));
  advance(std::vsnprintf(line + n, sizeof line - n, format, arguments));
  advance(std::snprintf(line + n, sizeof line - n, "%s", tail));
  line[n] = '\n';
  [[maybe_unused]] auto r = write(STDERR_FILENO, line, n + 1);
}
}  // namespace

void report(const char* format, ...) noexcept {
  std::va_list arguments;
  va_start(arguments, format);
  print("runnel: ", format, arguments, "");
  va_end(arguments);
}

void fatal(const char* format, ...) noexcept {
  std::va_list arguments;
  va_start(arguments, format);
  if (const sched::world* in = sched::this_world(); in && in->controlled_by) {
    char text[512];
    std::vsnprintf(text, sizeof text, format, arguments);
    in->controlled_by->broken(text);
  }
  char caller[256] = " [in a thread outside the runtime]";
  if (const sched::agent& a = sched::this_agent(); a.is_fiber) {
    const sched::fiber_label::text who = static_cast<const sched::fiber&>(a).label.read();
    const char* quote = who.name[0] ? "\"" : "";
    std::snprintf(caller, sizeof caller, " [in fiber %llu%s%s%s%s, started at %s:%u]", static_cast<unsigned long long>(who.id),
                  who.name[0] ? " " : "", quote, who.name, quote, who.file, who.line);
  }
  print("runnel: fatal: ", format, arguments, caller);
  va_end(arguments);
  std::abort();
}

}  // namespace runnel::inline RUNNEL_ABI::detail
