#include "testing/explore/run.hpp"

#include "sched/runtime.hpp"
#include "testing/explore/rcu_end.hpp"

#include <runnel/error.hpp>

#include <algorithm>
#include <bit>

namespace runnel::inline RUNNEL_ABI::detail::explorer {

using sanitizer::unseen;

run::run(const plan& p, const std::vector<std::uint16_t>* expected)
    : plan_(p), expected_(expected), strategy_(make_strategy(p)), random_(p.seed ^ 0x5851F42D4C957F2Dull) {
  out_.members.resize(1);  // the clock
}

outcome run::execute(const world_body& body, const site& at) {
  std::uint32_t number = 0;
  {
    const ambient_scope shield(nullptr);
    keeper k(this);
    world_ = &k.world();
    number = world_->number();
    k.start("body", body, at);
    k.wait_until_idle();
    if (k.root().done()) {
      try {
        k.root().rethrow();
      } catch (...) {
        escaped(std::current_exception());
      }
      if (k.left_anybody()) fail(verdict::leak, "the body has ended, and these fibers can never go on");
    } else {
      fail(verdict::deadlock, "the body can never go on");
    }
    if (k.left_anybody()) out_.fibers = k.describe("what every fiber waited for");
    if (k.left_anybody() && !broken_) {
      ending_ = true;
      over_ = false;
      last_ = std::numeric_limits<std::uint32_t>::max();
      k.end();
    }
  }
  end_rcu_of(*world_, number, out_.verdict == verdict::ok);
  out_.steps = out_.events.size();
  out_.census.operations.resize(out_.members.size(), 0);
  for (const event& e : out_.events) out_.census.operations[e.member] += e.what == event::kind::operation;
  for (const member& m : out_.members) out_.census.parents.push_back(m.parent);
  out_.hashes.push_back(static_cast<std::uint16_t>(hash_ >> 32));
  if (expected_ && !out_.diverged_after && out_.hashes != *expected_) out_.diverged_after = out_.steps;
  return std::move(out_);
}

// ---- what is noted ---------------------------------------------------------------------------------------------

void run::note(event e) noexcept {
  if (ending_) return;
  auto mix = [this](std::uint64_t v) { hash_ = (hash_ ^ v) * 0x100000001b3ull; };
  mix(static_cast<std::uint64_t>(e.what) << 16 | static_cast<std::uint64_t>(e.op) << 8 | static_cast<std::uint64_t>(e.reason));
  mix(e.member);
  if (e.what == event::kind::draw) mix(e.number);
  if (e.what == event::kind::clock) mix(static_cast<std::uint64_t>(e.instant));
  out_.events.push_back(e);
  const std::size_t steps = out_.events.size();
  if (std::has_single_bit(steps)) {
    out_.hashes.push_back(static_cast<std::uint16_t>(hash_ >> 32));
    const std::size_t i = out_.hashes.size() - 1;
    if (expected_ && (i + 1 >= expected_->size() || (*expected_)[i] != out_.hashes[i])) {
      out_.diverged_after = steps;
      over_ = true;
    }
  }
  fair_ = steps > plan_.steps;
  if (steps > 2 * plan_.steps)
    fail(verdict::livelock, "no end after " + std::to_string(steps) + " steps, the second half of them scheduled fairly");
}

void run::fail(runnel::verdict v, std::string text, std::exception_ptr e) noexcept {
  if (out_.verdict != verdict::ok || ending_ || out_.diverged_after) return;
  out_.verdict = v;
  out_.text = std::move(text);
  out_.exception = std::move(e);
  over_ = true;
}

void run::escaped(std::exception_ptr e) noexcept {
  const unseen turn_of_this;
  try {
    std::rethrow_exception(e);
  } catch (const misuse& x) {
    fail(verdict::misuse, x.what(), e);
  } catch (const std::exception& x) {
    fail(verdict::exception, x.what(), e);
  } catch (...) {
    fail(verdict::exception, "an exception not derived from std::exception", e);
  }
}

void run::broken(const char* text) noexcept {
  sched::agent& a = sched::this_agent();
  if (!a.is_fiber || !is_mine(static_cast<sched::fiber*>(&a))) return;
  // It never runs again: whatever it was about to do would be undefined.
  static_cast<sched::fiber&>(a).state.store(sched::fiber_state::parked, shim::order::relaxed);  // relaxed: for reports
  {
    const unseen turn_of_this;
    fail(verdict::misuse, text);
    broken_ = true;
    to_keeper();
  }
  sched::worker::leave(static_cast<sched::fiber&>(a), sched::afterwards::nothing);
}

std::uint32_t run::number_of(const void* object) {
  if (!object) return 0;
  return objects_.try_emplace(object, static_cast<std::uint32_t>(objects_.size() + 1)).first->second;
}

// ---- who is next -----------------------------------------------------------------------------------------------

bool run::is_mine(const sched::fiber* f) const noexcept {
  return current_ != clock_number && out_.members[current_].fiber == f;
}

void run::starts(sched::fiber& f) noexcept {
  const unseen turn_of_this;
  f.number_in_world = static_cast<std::uint32_t>(out_.members.size());
  const sched::fiber_label::text label = f.label.read();
  site started_at;
  started_at.file = label.file;
  started_at.line = label.line;
  out_.members.push_back({&f, label.id, current_, label.name, started_at, {}});
}

void run::ready(sched::fiber& f) noexcept {
  const unseen turn_of_this;
  {
    raw_guard hold(lock_);
    const auto place = std::lower_bound(ready_.begin(), ready_.end(), f.number_in_world,
                                        [](const sched::fiber* a, std::uint32_t n) { return a->number_in_world < n; });
    ready_.insert(place, &f);
    if (who_ != turn::nobody) return;
    who_ = turn::member;  // the one that is chosen below
  }
  give_on();
}

/// Fills candidates_: the clock where it may move, and the members that may run, by number.
void run::candidates(bool with_current) noexcept {
  candidates_.clear();
  if (world_->clock_may_move()) candidates_.push_back(clock_number);
  raw_guard hold(lock_);
  for (const sched::fiber* f : ready_) {
    if (with_current && current_ < f->number_in_world) {
      candidates_.push_back(current_);
      with_current = false;
    }
    candidates_.push_back(f->number_in_world);
  }
  if (with_current) candidates_.push_back(current_);
}

/// Of candidates_, which are not empty.
std::uint32_t run::choose() noexcept {
  if (candidates_.size() == 1) return candidates_.front();
  if (ending_) {  // in a circle, the youngest first (what it uses may be its starter's), the clock last
    const auto next = std::lower_bound(candidates_.begin(), candidates_.end(), last_);
    return next != candidates_.begin() && *(next - 1) != clock_number ? *(next - 1) : candidates_.back();
  }
  const choice c{candidates_, last_, std::exchange(yielded_, false)};
  const std::size_t i = fair_ ? random_.below(static_cast<std::uint32_t>(candidates_.size())) : strategy_->pick(c);
  ++out_.choices;
  out_.decisions.push_back(candidates_[i]);
  hash_ = (hash_ ^ candidates_[i] ^ candidates_.size() << 32) * 0x100000001b3ull;
  return candidates_[i];
}

void run::move_clock() noexcept {
  in_clock_ = true;
  world_->move_clock_once();
  in_clock_ = false;
  event e{};
  e.what = event::kind::clock;
  e.instant = std::chrono::nanoseconds(world_->now() - sched::world::epoch).count();
  note(e);
}

void run::to_keeper() noexcept {
  {
    raw_guard hold(lock_);
    who_ = turn::keeper;
    current_ = clock_number;
  }
  world_->wake_keeper();
}

/// The member leaves ready_ and is scheduled for real.
void run::give_to(std::uint32_t number) noexcept {
  sched::fiber* f = out_.members[number].fiber;
  {
    raw_guard hold(lock_);
    ready_.erase(std::find(ready_.begin(), ready_.end(), f));
    who_ = turn::member;
    current_ = last_ = number;
  }
  sched::runtime::instance().schedule(f);
}

/// The one who had the turn cannot go on.
void run::give_on() noexcept {
  for (;;) {
    if (over_) return to_keeper();
    candidates(false);
    if (candidates_.empty()) {
      raw_guard hold(lock_);
      if (!ready_.empty()) continue;  // somebody outside was quick
      current_ = clock_number;
      if (outside_ == 0) break;
      who_ = turn::nobody;
      return;
    }
    const std::uint32_t next = choose();
    if (next != clock_number) return give_to(next);
    move_clock();
  }
  to_keeper();
}

/// f, which has the turn, may have it again later.
void run::step_aside(sched::fiber& f) noexcept {
  {
    raw_guard hold(lock_);
    const auto place = std::lower_bound(ready_.begin(), ready_.end(), f.number_in_world,
                                        [](const sched::fiber* a, std::uint32_t n) { return a->number_in_world < n; });
    ready_.insert(place, &f);
  }
  f.state.store(sched::fiber_state::runnable, shim::order::relaxed);  // relaxed: for reports
}

/// True: another one has the turn, and f has to leave.
bool run::maybe_switch(sched::fiber& f) noexcept {
  for (;;) {
    if (over_) {
      step_aside(f);
      to_keeper();
      return true;
    }
    candidates(true);
    const std::uint32_t next = choose();
    if (next == f.number_in_world) return false;
    if (next == clock_number) {
      move_clock();
      continue;
    }
    step_aside(f);
    give_to(next);
    return true;
  }
}

void run::choice_point(operation o, const void* object, const site& s) noexcept {
  sched::agent& a = sched::this_agent();
  if (in_clock_ || !a.is_fiber || !is_mine(static_cast<sched::fiber*>(&a))) return;
  auto& f = static_cast<sched::fiber&>(a);
  if (at_point(f, o, object, s)) sched::worker::leave(f, sched::afterwards::nothing);
}

/// True: f has to leave.
bool run::at_point(sched::fiber& f, operation o, const void* object, const site& s) noexcept {
  const unseen turn_of_this;
  if (ending_) {
    if (++ending_steps_ <= plan_.steps) return false;
    step_aside(f);  // it does not end, and nothing can make it: it is left as it is
    to_keeper();
    return true;
  }
  event e{};
  e.what = event::kind::operation;
  e.op = o;
  e.member = current_;
  e.number = number_of(object);
  e.at = s;
  note(e);
  return maybe_switch(f);
}

void run::yields(sched::fiber& f) noexcept {
  if (ending_) {  // others first
    {
      const unseen turn_of_this;
      step_aside(f);
      ++ending_steps_ <= plan_.steps ? give_on() : to_keeper();
    }
    return sched::worker::leave(f, sched::afterwards::nothing);
  }
  yielded_ = true;
  choice_point(operation::yield, nullptr, {});
}

void run::parks(sched::fiber& f, bool outside) noexcept {
  const unseen turn_of_this;
  if (outside) ++outside_;
  event e{};
  e.what = event::kind::park;
  e.member = current_;
  e.reason = f.reason.load(shim::order::relaxed);          // relaxed: own writes
  e.number = number_of(f.object.load(shim::order::relaxed));  // relaxed: own writes
  note(e);
  world_->somebody_runs();
  give_on();
}

void run::goes_on(sched::fiber&, bool outside) noexcept {
  if (outside) --outside_;
}

void run::ended() noexcept {
  const unseen turn_of_this;
  event e{};
  e.what = event::kind::end;
  e.member = current_;
  note(e);
  world_->somebody_runs();
  out_.members[current_].fiber = nullptr;  // its record may be used again
  give_on();
}

void run::keeper_waits() noexcept {
  const unseen turn_of_this;
  give_on();
}

std::uint32_t run::draw(std::uint32_t bound) noexcept {
  if (bound <= 1) return 0;
  const unseen turn_of_this;
  event e{};
  e.what = event::kind::draw;
  e.member = current_;
  e.number = random_.below(bound);
  note(e);
  return e.number;
}

// ---- what is ordered -------------------------------------------------------------------------------------------

std::vector<std::uint32_t>& run::clock_of(std::uint32_t m) {
  std::vector<std::uint32_t>& c = out_.members[m].clock;
  if (c.size() <= m) c.resize(m + 1, 0);
  if (c[m] == 0) c[m] = 1;
  return c;
}

void run::join_clock(std::vector<std::uint32_t>& into, const std::vector<std::uint32_t>& from) {
  if (into.size() < from.size()) into.resize(from.size(), 0);
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

void run::release(const void* address) noexcept {
  const unseen turn_of_this;
  if (current_ == clock_number || in_clock_ || ending_) return;
  std::vector<std::uint32_t>& mine = clock_of(current_);
  join_clock(released_[address], mine);
  ++mine[current_];
}

void run::acquire(const void* address) noexcept {
  const unseen turn_of_this;
  if (current_ == clock_number || in_clock_ || ending_) return;
  const auto found = released_.find(address);
  if (found != released_.end()) join_clock(clock_of(current_), found->second);
}

std::string run::describe(std::uint32_t m, operation o, const site& s) const {
  std::string text = (o == operation::read ? "read by fiber " : "written by fiber ") + std::to_string(m);
  if (!out_.members[m].name.empty()) text.append(" \"").append(out_.members[m].name).append("\"");
  return text + " at " + s.file + ":" + std::to_string(s.line);
}

void run::access(operation o, const void* variable, const site& s) noexcept {
  choice_point(o, variable, s);
  check_access(o, variable, s);
}

void run::check_access(operation o, const void* variable, const site& s) noexcept {
  const unseen turn_of_this;
  if (current_ == clock_number || in_clock_ || ending_) return;
  const std::uint32_t me = current_;
  const std::vector<std::uint32_t>& mine = clock_of(me);
  shadow& v = variables_[variable];
  auto race = [&](std::uint32_t other, operation what, const site& where) {
    fail(verdict::race, "a variable is " + describe(me, o, s) + ", and nothing orders that after its being " +
                            describe(other, what, where));
  };
  if (v.written && v.writer != me && at(mine, v.writer) < v.written) race(v.writer, operation::write, v.write_at);
  if (o == operation::read) {
    if (v.reads.size() <= me) {
      v.reads.resize(me + 1, 0);
      v.read_at.resize(me + 1);
    }
    v.reads[me] = mine[me];
    v.read_at[me] = s;
    return;
  }
  for (std::uint32_t m = 1; m < v.reads.size(); ++m)
    if (m != me && v.reads[m] && at(mine, m) < v.reads[m]) race(m, operation::read, v.read_at[m]);
  v.writer = me;
  v.written = mine[me];
  v.write_at = s;
  v.reads.clear();
  v.read_at.clear();
}

void run::end_of(const void* variable) noexcept {
  const unseen turn_of_this;
  variables_.erase(variable);
}

}  // namespace runnel::inline RUNNEL_ABI::detail::explorer

namespace runnel::inline RUNNEL_ABI::sched {

namespace {
control* control_here() noexcept {
  const world* w = this_world();
  return w ? w->controlled_by : nullptr;
}
}  // namespace

void explored_choice_point(operation o, const void* object, const detail::site& at) noexcept {
  if (control* c = control_here()) c->choice_point(o, object, at);
}
void explored_release(const void* address) noexcept {
  if (control* c = control_here()) c->release(address);
}
void explored_acquire(const void* address) noexcept {
  if (control* c = control_here()) c->acquire(address);
}
void explored_access(operation o, const void* variable, const detail::site& at) noexcept {
  if (control* c = control_here()) c->access(o, variable, at);
}
void explored_end_of(const void* variable) noexcept {
  if (control* c = control_here()) c->end_of(variable);
}

}  // namespace runnel::inline RUNNEL_ABI::sched

namespace runnel::inline RUNNEL_ABI::detail::sanitizer {

void note_release(const void* address) noexcept { sched::explored_release(address); }
void note_acquire(const void* address) noexcept { sched::explored_acquire(address); }

}  // namespace runnel::inline RUNNEL_ABI::detail::sanitizer
