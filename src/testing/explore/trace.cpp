// What a run was, for a person.
#include "testing/explore/run.hpp"

#include <algorithm>
#include <cstdio>

namespace runnel::inline RUNNEL_ABI {

const char* to_string(verdict v) noexcept {
  static constexpr const char* names[] = {"ok", "exception", "misuse", "deadlock", "leak", "race", "livelock"};
  return names[static_cast<std::size_t>(v)];
}

}  // namespace runnel::inline RUNNEL_ABI

namespace runnel::inline RUNNEL_ABI::detail::explorer {

namespace {

constexpr std::size_t most_steps = 2000;  ///< printed, the last ones

const char* to_string(operation o) noexcept {
  static constexpr const char* names[] = {
      "start", "join", "look at", "cancel", "yield", "sleep", "send to", "receive from", "close", "select", "lock",
      "try to lock", "unlock", "add to", "wait for", "arm", "stop", "load", "store", "change", "read", "write",
      "notify", "acquire from", "release to", "lock for reading", "unlock for reading", "push to",
      "pop from", "protect", "retire"};
  return names[static_cast<std::size_t>(o)];
}

std::string name_of(const outcome& o, std::uint32_t m) {
  if (m == clock_number) return "the clock";
  std::string s = "fiber " + std::to_string(m);
  if (!o.members[m].name.empty()) s.append(" \"").append(o.members[m].name).append("\"");
  return s;
}

std::string place_of(const site& s) {
  return s.line ? std::string(" at ") + s.file + ":" + std::to_string(s.line) : std::string();
}

std::string numbered(std::uint32_t object) { return object ? std::string(" #").append(std::to_string(object)) : std::string(); }

std::string line_of(const outcome& o, const event& e) {
  switch (e.what) {
    case event::kind::operation:
      return name_of(o, e.member) + ": " + to_string(e.op) + numbered(e.number) + place_of(e.at);
    case event::kind::park:
      return name_of(o, e.member) + ": waits in " + sched::to_string(e.reason) + numbered(e.number);
    case event::kind::end: return name_of(o, e.member) + ": ends";
    case event::kind::clock: {
      char text[64];
      std::snprintf(text, sizeof text, "the clock moves to %.9f s", static_cast<double>(e.instant) * 1e-9);
      return text;
    }
    case event::kind::draw: break;
  }
  return name_of(o, e.member) + ": draws " + std::to_string(e.number);
}

/// Who got the turn at each choice, runs of the same folded: 1x3 2 0.
std::string folded(const std::vector<std::uint32_t>& decisions) {
  std::string s;
  for (std::size_t i = 0; i < decisions.size();) {
    std::size_t end = i;
    while (end < decisions.size() && decisions[end] == decisions[i]) ++end;
    s.append(" ").append(std::to_string(decisions[i]));
    if (end - i > 1) s.append("x").append(std::to_string(end - i));
    i = end;
  }
  return s;
}

}  // namespace

std::string trace_of(const outcome& o) {
  std::string s = std::string("runnel: ") + runnel::to_string(o.verdict) + ": " + o.text + "\n" + o.fibers;
  s += "decisions (0: the clock):" + folded(o.decisions) + "\nfibers\n";
  for (std::uint32_t m = 1; m < o.members.size(); ++m)
    s += "  " + name_of(o, m) + ", in reports " + std::to_string(o.members[m].id) + ", started" + place_of(o.members[m].started_at) + "\n";
  s += "steps\n";
  std::size_t i = o.events.size() > most_steps ? o.events.size() - most_steps : 0;
  if (i) s += "  (the first " + std::to_string(i) + " are left out)\n";
  for (; i < o.events.size(); ++i) s += "  " + std::to_string(i + 1) + ". " + line_of(o, o.events[i]) + "\n";
  return s;
}

}  // namespace runnel::inline RUNNEL_ABI::detail::explorer
