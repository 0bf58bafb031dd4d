// Schedule after schedule, and one from its token.
//
// A token is rn1:<how>:<parameters>:<seed>:<steps>:<hashes>: the plan, from which every decision follows, and 16 bits of the
// hash over the steps after 1, 2, 4 … of them and at the end, by which a replay sees where it leaves the recorded way.
#include <runnel/testing/explore.hpp>

#include "base/kernel_clock.hpp"
#include "testing/explore/run.hpp"

#include <array>
#include <charconv>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

using explorer::outcome;
using explorer::plan;

constexpr std::string_view version = "rn1";

std::string token_of(const plan& p, const std::vector<std::uint16_t>& hashes) {
  std::string s = std::string(version) + ":" + to_text(p) + ":";
  for (const std::uint16_t h : hashes)
    for (int shift = 12; shift >= 0; shift -= 4) s += "0123456789abcdef"[h >> shift & 15];
  return s;
}

struct parsed {
  plan how;
  std::vector<std::uint16_t> hashes;
};

parsed parse(std::string_view token) {
  std::array<std::string_view, 6> fields;
  std::size_t n = 0;
  for (std::string_view rest = token; n < fields.size();) {
    const std::size_t colon = n + 1 < fields.size() ? rest.find(':') : rest.size();
    fields[n++] = rest.substr(0, colon);
    if (colon == rest.npos || n == fields.size()) break;
    rest.remove_prefix(colon + 1);
  }
  const std::string_view digits = fields[5];
  if (n != fields.size() || fields[0] != version || digits.empty() || digits.size() % 4 != 0)
    throw std::invalid_argument("runnel::replay: \"" + std::string(token) + "\" is no token of this version of explore()");
  parsed p{explorer::plan_of(std::span(fields).subspan(1, 4)), {}};
  for (std::size_t i = 0; i < digits.size(); i += 4) {
    std::uint16_t h = 0;
    const auto [end, error] = std::from_chars(digits.data() + i, digits.data() + i + 4, h, 16);
    if (error != std::errc{} || end != digits.data() + i + 4)
      throw std::invalid_argument("runnel::replay: the end of the token is damaged");
    p.hashes.push_back(h);
  }
  return p;
}

outcome run_once(const plan& p, const world_body& body, const site& at, const std::vector<std::uint16_t>* expected = nullptr) {
  return explorer::run(p, expected).execute(body, at);
}

std::string whereabouts(const outcome& o) {
  return o.diverged_after <= 1 ? std::string("at the first step")
                               : "between step " + std::to_string((o.diverged_after + 1) / 2) + " and step " +
                                     std::to_string(o.diverged_after);
}

void refuse_bubbles(const char* what) {
  if (sched::this_world()) throw_misuse(what);
}

}  // namespace

explore_result run_explore(const explore_options& o, void (*call)(void* body), void* body, const site& at) {
  refuse_bubbles("runnel::explore inside a bubble: its schedules are bubbles themselves");
  if (o.schedules == 0 || o.steps == 0) throw_misuse("runnel::explore: at least one schedule of at least one step is needed");
  const time_point until = o.budget.after(kernel_now());
  explorer::planner planner(o);
  explore_result r;
  do {
    const plan p = planner.next();
    const outcome found = run_once(p, {call, body}, at);
    ++r.schedules;
    planner.learn(found.choices, found.census);
    if (found.verdict != verdict::ok) {
      r.failed = true;
      r.verdict = found.verdict;
      r.token = token_of(p, found.hashes);
      r.trace = trace_of(found) + "replay with the token " + r.token + "\n";
      return r;
    }
    if (r.schedules > 1) continue;
    const outcome again = run_once(p, {call, body}, at, &found.hashes);
    if (again.diverged_after || again.verdict != verdict::ok)
      throw replay_diverged("runnel::explore: the body does not repeat itself under the same decisions: it goes another way " +
                            whereabouts(again) + ". It depends on something that is not explored: time, addresses, threads, "
                            "state that a run leaves behind");
  } while (r.schedules < o.schedules && kernel_now() < until);
  return r;
}

void run_replay(std::string_view token, void (*call)(void* body), void* body, const site& at) {
  refuse_bubbles("runnel::replay inside a bubble: its schedule is a bubble itself");
  parsed wanted = parse(token);
  if (wanted.how.how == plan::kind::uniform_walk) wanted.how.expected = run_once(base_of(wanted.how), {call, body}, at).census;
  const outcome found = run_once(wanted.how, {call, body}, at, &wanted.hashes);
  if (found.diverged_after)
    throw replay_diverged("runnel::replay: the run goes another way than the recorded one " + whereabouts(found));
  switch (found.verdict) {
    case verdict::ok: throw replay_diverged("runnel::replay: the run does not fail");
    case verdict::exception:
    case verdict::misuse:
      if (found.exception) std::rethrow_exception(found.exception);
      throw misuse(found.text);
    default: throw explored_failure(found.verdict, trace_of(found));
  }
}

}  // namespace runnel::inline RUNNEL_ABI::detail
