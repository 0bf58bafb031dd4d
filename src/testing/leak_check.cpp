#include <runnel/context.hpp>
#include <runnel/testing/leak_check.hpp>
#include <runnel/time.hpp>

#include "sched/report.hpp"

#include <cstdio>
#include <cstdlib>

namespace runnel::inline RUNNEL_ABI {

leak_check::leak_check(handler on_leak) noexcept : on_leak_(on_leak) {
  const runtime_stats s = stats();
  fibers_ = s.live_fibers;
  timers_ = s.armed_timers;
  waits_ = s.registered_waits;
}

std::string leak_check::left() const {
  const runtime_stats s = stats();
  std::string text;
  auto add = [&](const char* what, long long n) {
    if (n > 0) text += (text.empty() ? "" : ", ") + std::to_string(n) + " " + what;
  };
  add("fibers", static_cast<long long>(s.live_fibers) - static_cast<long long>(fibers_));
  add("timers", static_cast<long long>(s.armed_timers) - static_cast<long long>(timers_));
  add("registered waits", s.registered_waits - waits_);
  return text;
}

leak_check::~leak_check() {
  const cancel_shield shield;
  // A fiber whose end has been seen may still be on its way out.
  for (int i = 0; i < 1000 && !left().empty(); ++i) sleep_for(std::chrono::milliseconds(1));
  const std::string text = left();
  if (text.empty()) return;
  const std::string report = sched::describe_fibers(("leak: left behind: " + text).c_str());
  if (on_leak_) {
    on_leak_(report);
    return;
  }
  std::fputs(report.c_str(), stderr);
  std::abort();
}

}  // namespace runnel::inline RUNNEL_ABI
