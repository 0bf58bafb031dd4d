// The memory model: what a load may return, and who learns what by it.
//
// A thread's view of a location only grows (coherence). A load returns any store that is not older than that view and, when
// it is seq_cst, not older than the newest store that a seq_cst access touched or that was known to a seq_cst fence. A
// read-modify-write reads the newest store and stores next to it; it carries on the message of the store that it read (a
// release sequence, C++20 [intro.races]). A compare-exchange that fails is a load.
// seq_cst fences: C++20 [atomics.order] p4, with the order of execution as the total order S.
#include "checker/execution.hpp"

#include <algorithm>

namespace model::detail {

namespace {

execution& ex() noexcept { return execution::instance(); }

bool acquires(order o) noexcept { return o == order::acquire || o == order::acq_rel || o == order::seq_cst; }
bool releases(order o) noexcept { return o == order::release || o == order::acq_rel || o == order::seq_cst; }

/// What the running thread gives to who acquires a store that it makes now; null: nothing. `read`: a release sequence.
view* message(order o, const view* read) {
  thread_record& me = ex().self();
  view* m = ex().new_view();
  m->copy(releases(o) ? me.current : me.fence_release);
  if (read) m->join(*read);
  return m;
}

void add_store(std::uint32_t number, location& l, std::uint64_t v, order o, const view* read) {
  thread_record& me = ex().self();
  me.current.raise(number, l.stores.size());  // before the message is made: it tells of its own store
  view* m = message(o, read);
  m->raise(number, l.stores.size());
  l.stores.push_back({v, m});
  ex().offer(number, v, *m);
  if (o == order::seq_cst) l.sc_position = static_cast<std::uint32_t>(l.stores.size() - 1);
  for (thread_record& t : ex().threads())
    if (t.what == state::paused) t.what = state::ready;
}

/// The oldest store that the running thread may read.
std::size_t oldest(std::uint32_t number, const location& l, order o) noexcept {
  std::size_t n = ex().self().current.at(number);
  if (o != order::seq_cst) return n;
  if (n < l.sc_position) n = l.sc_position;
  const std::size_t fences = ex().sc_fences.at(number);
  return n < fences ? fences : n;
}

void learn(std::uint32_t number, location& l, std::size_t position, order o) {
  thread_record& me = ex().self();
  me.current.raise(number, position);
  if (o == order::seq_cst && l.sc_position < position) l.sc_position = static_cast<std::uint32_t>(position);
  const view* m = l.stores[position].message;
  if (!m) return;
  if (acquires(o)) {
    me.current.join(*m);
  } else {
    me.pending.join(*m);
  }
}

/// How much older than the newest the store is that a load reads, `n` being possible.
std::uint32_t choose_age(std::size_t n) {
  if (n < 2 || ex().stale_reads >= ex().limits.stale_reads) return 0;
  const std::uint32_t age = ex().choose(static_cast<std::uint32_t>(n));
  if (age) ++ex().stale_reads;
  return age;
}

/// The same for a relaxed load, which may also return what is stored later.
std::uint32_t choose_relaxed(std::uint32_t number, const location& l, std::uint64_t& value, bool& from_future) {
  // Whoever looks again while a promise is open is not followed: it could only see the same, most often in a loop.
  if (ex().known_promise(number)) ex().discard();
  const std::size_t last = l.stores.size() - 1;
  const bool spent = ex().stale_reads >= ex().limits.stale_reads;
  const std::size_t n = spent ? 1 : std::min<std::size_t>(last - oldest(number, l, order::relaxed) + 1, 64);
  from_future = false;
  value = l.stores[last].value;
  if (spent || ex().thread_count() == 1) return 0;
  std::uint64_t present[64];
  for (std::size_t i = 0; i < n; ++i) present[i] = l.stores[last - i].value;
  const std::uint32_t chosen = ex().choose_load(present, static_cast<std::uint32_t>(n), value, from_future);
  if (chosen) ++ex().stale_reads;
  if (from_future) {
    ex().make_promise(number, value);
  } else {
    ex().remember_load(number);
  }
  return chosen;
}

/// Any other access of a location: nobody goes back behind what a load has read of the future.
void keep_coherent(std::uint32_t number) {
  if (ex().known_promise(number)) ex().discard();
}

std::uint64_t apply(rmw how, std::uint64_t a, std::uint64_t b) noexcept {
  switch (how) {
    case rmw::exchange: break;
    case rmw::add: return a + b;
    case rmw::sub: return a - b;
    case rmw::bit_or: return a | b;
    case rmw::bit_and: return a & b;
  }
  return b;
}

}  // namespace

// ---- locations -------------------------------------------------------------------------------------------------

view* execution::new_view() {
  if (views_used_ == views_.size()) views_.push_back(std::make_unique<view>());
  view* v = views_[views_used_++].get();
  v->clear();
  return v;
}

void execution::add_location(word& w, std::uint64_t value, bool before_execution) {
  if (location_count == max_locations) fail("too many atomic objects in one execution");
  w.execution = number_;
  w.location = location_count++;
  location& l = locations[w.location];
  l.stores.clear();
  l.stores.push_back({value, nullptr});
  l.accessed.fill(0);
  l.sc_position = 0;
  l.made_by = before_execution ? max_threads : current_;
  l.made_at = before_execution ? 0 : self().current.clock[current_];
  l.ended = false;
}

location& execution::find(const word& w) {
  if (w.execution != number_) add_location(const_cast<word&>(w), w.initial, true);
  location& l = locations[w.location];
  if (l.ended) fail("an atomic object (#" + std::to_string(w.location) + ") is used after its end");
  if (l.made_by != max_threads && !knows(l.made_by, l.made_at))
    fail("an atomic object (#" + std::to_string(w.location) + ") is used in a race with its making");
  l.accessed[current_] = self().current.clock[current_];
  return l;
}

void make(word& w, std::uint64_t value) noexcept {
  w.initial = w.outside = value;
  if (!ex().active()) return;
  const inside_checker now;
  ex().add_location(w, value, false);
}

void end(word& w) noexcept {
  if (!ex().active() || w.execution != ex().number()) return;
  const inside_checker now;
  location& l = ex().locations[w.location];
  for (unsigned t = 0; t < ex().thread_count(); ++t)
    if (t != ex().current() && !ex().knows(t, l.accessed[t]))
      ex().fail("an atomic object (#" + std::to_string(w.location) + ") ends in a race with its use by thread " + std::to_string(t));
  l.ended = true;
}

// ---- operations ------------------------------------------------------------------------------------------------

std::uint64_t load(const word& w, order o, const site& at) noexcept {
  if (!ex().active()) return w.outside;
  const inside_checker now;
  o = mutated(operation::load, o, at);
  ex().begin_step();
  location& l = ex().find(w);
  const std::size_t last = l.stores.size() - 1;
  std::uint32_t age;
  if (o == order::relaxed) {
    std::uint64_t value;
    bool from_future;
    age = choose_relaxed(w.location, l, value, from_future);
    if (from_future) {
      ex().note("loads what is stored later", at, w.location, value, o);
      ex().tick();
      return value;
    }
  } else {
    keep_coherent(w.location);
    age = choose_age(last - oldest(w.location, l, o) + 1);
  }
  learn(w.location, l, last - age, o);
  ex().note("loads", at, w.location, l.stores[last - age].value, o, age);
  ex().tick();
  return l.stores[last - age].value;
}

void store(word& w, std::uint64_t v, order o, const site& at) noexcept {
  w.outside = v;
  if (!ex().active()) return;
  const inside_checker now;
  o = mutated(operation::store, o, at);
  ex().begin_step();
  location& l = ex().find(w);
  keep_coherent(w.location);
  add_store(w.location, l, v, o, nullptr);
  ex().note("stores", at, w.location, v, o);
  ex().tick();
}

std::uint64_t modify(word& w, rmw how, std::uint64_t v, std::uint64_t mask, order o, const site& at) noexcept {
  if (!ex().active()) {
    const std::uint64_t before = w.outside;
    w.outside = apply(how, before, v) & mask;
    return before;
  }
  const inside_checker now;
  o = mutated(operation::modify, o, at);
  ex().begin_step();
  location& l = ex().find(w);
  keep_coherent(w.location);
  const store_record newest = l.stores.back();
  learn(w.location, l, l.stores.size() - 1, o);
  add_store(w.location, l, apply(how, newest.value, v) & mask, o, newest.message);
  ex().note("modifies", at, w.location, l.stores.back().value, o);
  ex().tick();
  return newest.value;
}

bool compare_exchange(word& w, std::uint64_t& expected, std::uint64_t desired, order success, order failure,
                      const site& at) noexcept {
  if (!ex().active()) {
    if (w.outside == expected) {
      w.outside = desired;
      return true;
    }
    expected = w.outside;
    return false;
  }
  const inside_checker now;
  success = mutated(operation::success, success, at);
  failure = mutated(operation::failure, failure, at);
  ex().begin_step();
  location& l = ex().find(w);
  const std::size_t last = l.stores.size() - 1;
  keep_coherent(w.location);
  // The newest store, and older ones with which it fails.
  std::uint32_t ages[64] = {0};
  std::size_t n = 1;
  for (std::size_t i = last; i-- > oldest(w.location, l, failure) && n < 64;)
    if (l.stores[i].value != expected) ages[n++] = static_cast<std::uint32_t>(last - i);
  const std::uint32_t age = ages[choose_age(n)];
  const store_record read = l.stores[last - age];
  if (read.value == expected) {
    learn(w.location, l, last, success);
    add_store(w.location, l, desired, success, read.message);
    ex().note("compare-exchanges", at, w.location, desired, success);
    ex().tick();
    return true;
  }
  learn(w.location, l, last - age, failure);
  ex().note("fails to compare-exchange", at, w.location, read.value, failure, age);
  ex().tick();
  expected = read.value;
  return false;
}

namespace {
/// What a seq_cst fence of thread t does to what it may read from then on, and to what the fences after it know.
void order_by_sc_fence(thread_record& t) noexcept {
  t.current.join_positions(ex().sc_fences);
  for (std::uint32_t i = 0; i < ex().location_count; ++i) t.current.raise(i, ex().locations[i].sc_position);
  ex().sc_fences.join_positions(t.current);
}
}  // namespace

void fence(order o, const site& at) noexcept {
  if (!ex().active()) return;
  const inside_checker now;
  o = mutated(operation::fence, o, at);
  if (o == order::relaxed) return;
  ex().begin_step();
  thread_record& me = ex().self();
  // A load before it that returns what is stored after it: only formally possible where the store releases nothing.
  if (acquires(o) && ex().has_promise(ex().current())) ex().discard();
  if (acquires(o)) me.current.join(me.pending);
  if (o == order::seq_cst) order_by_sc_fence(me);
  if (releases(o)) me.fence_release.copy(me.current);
  ex().note("fence", at, ~0u, 0, o);
  ex().tick();
}

void heavy_fence(const site& at) noexcept {
  if (!ex().active()) return;
  const inside_checker now;
  if (dropped(at)) return;
  ex().begin_step();
  // As in fence(), for whichever thread it is: all pass a fence here.
  for (unsigned t = 0; t < ex().thread_count(); ++t)
    if (ex().has_promise(t)) ex().discard();
  // Twice: what the last one knows reaches the first one too. The kernel's barriers lie between the caller's own two.
  for (int pass = 0; pass < 2; ++pass)
    for (unsigned t = 0; t < ex().thread_count(); ++t) order_by_sc_fence(ex().threads()[t]);
  ex().note("heavy fence", at);
  ex().tick();
}

void pause(const site& at) noexcept {
  if (!ex().active()) return;
  const inside_checker now;
  if (ex().thread_count() == 1) return;
  ex().note("pauses", at);
  ex().block(state::paused);
}

// ---- the kernel ------------------------------------------------------------------------------------------------

bool futex_wait(const word& w, std::uint64_t expected, bool timed, const site& at) noexcept {
  if (!ex().active()) return !timed;
  const inside_checker now;
  ex().begin_step();
  location& l = ex().find(w);
  keep_coherent(w.location);
  learn(w.location, l, l.stores.size() - 1, order::relaxed);  // the kernel reads on this thread's behalf
  if (l.stores.back().value != expected) {
    ex().note("futex wait returns at once", at, w.location, l.stores.back().value);
    return true;
  }
  if (ex().spurious_wakes < ex().limits.spurious_wakes && ex().choose(2) == 1) {
    ++ex().spurious_wakes;
    ex().note("futex wait returns for no reason", at, w.location, expected);
    return true;
  }
  ex().note(timed ? "futex wait with a deadline" : "futex wait", at, w.location, expected);
  thread_record& me = ex().self();
  me.key = &w;
  me.timed = timed;
  me.timed_out = false;
  ex().block(state::in_futex);
  ex().note(me.timed_out ? "futex wait times out" : "futex wait ends", at, w.location);
  return !me.timed_out;
}

void futex_wake(const word& w, int count, const site& at) noexcept {
  if (!ex().active()) return;
  const inside_checker now;
  if (dropped(at)) return;
  ex().begin_step();
  ex().note("futex wake", at);
  for (; count > 0; --count) {
    thread_record* sleepers[max_threads];
    std::uint32_t n = 0;
    for (unsigned t = 0; t < ex().thread_count(); ++t) {
      thread_record& r = ex().threads()[t];
      if (r.what == state::in_futex && r.key == &w) sleepers[n++] = &r;
    }
    if (n == 0) return;
    sleepers[ex().choose(n)]->what = state::ready;
  }
}

}  // namespace model::detail
