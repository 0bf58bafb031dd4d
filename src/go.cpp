#include <runnel/go.hpp>

#include <runnel/base/assert.hpp>
#include <runnel/sched/fork.hpp>
#include <runnel/sched/operation.hpp>

#include "cancellation.hpp"
#include "sched/blocking_pool.hpp"
#include "sched/runtime.hpp"
#include "sched/world.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

using sanitizer::hb_acquire;
using sanitizer::hb_release;
using sched::choice_point;
using sched::operation;

namespace {
shim::atomic<unhandled_hook> hook{nullptr};

/// The caller's bubble is over and `e` says so: no failure, whatever contexts were in between.
bool ended_with_its_bubble(const canceled& e) noexcept {
  const sched::world* w = sched::this_world();
  return w && e.origin().order() == w->ending->order();
}

/// For a person: the type is lost, the text is what there is.
void report_exception(const std::exception_ptr& e) noexcept {
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& x) {
    report("an exception that nobody took: %s", x.what());
  } catch (...) {
    report("an exception that nobody took, not derived from std::exception");
  }
}
}  // namespace

fiber_frame::fiber_frame(context_node& ambient) noexcept { sched::this_agent().ambient = &ambient; }
fiber_frame::~fiber_frame() {
  sched::agent& a = sched::this_agent();
  sched::destroy_locals(a);
  if (a.listens_to) context_node::stop_listening(a);
}

void deliver_unhandled(std::exception_ptr e) noexcept {
  if (const sched::world* in = sched::this_world()) {
    try {
      std::rethrow_exception(e);
    } catch (const canceled& c) {
      if (ended_with_its_bubble(c)) return;
    } catch (...) {
      // a failure like any other
    }
    if (in->controlled_by) return in->controlled_by->escaped(std::move(e));
  }
  // acquire: pairs with set_unhandled_hook()
  if (unhandled_hook h = hook.load(shim::order::acquire)) {
    const sched::agent& a = sched::this_agent();
    if (!a.is_fiber) return h(std::move(e), {});
    const sched::fiber_label::text who = static_cast<const sched::fiber&>(a).label.read();
    h(std::move(e), {who.id, who.name, who.file, who.line});
  } else {
    report_exception(e);
  }
}

// ---- task_core -------------------------------------------------------------------------------------------------

task_core::task_core(ambient_parents parents) noexcept : context_node(parents.cancel, parents.values) {
  job::run = &run_on_fiber;
  job::finished = &after_fiber;
}

void task_core::start(const start_options& o, escape e) {
  choice_point(operation::start, nullptr, o.at);
  escape_ = e;
  if (e == escape::terminate) ensure_linked();  // the root of the detached tasks is revived: what is below must know by then
  sched::fiber* f = sched::reserve_fiber(o.stack, o.name, o.at);
  add_ref();  // the fiber's
  fiber_ = f;
  hb_release(&joiners_);
  sched::start_fiber(f, *this);
}

void task_core::run_on_fiber(sched::job& j) noexcept {
  auto& c = static_cast<task_core&>(j);
  hb_acquire(&c.joiners_);
  {
    fiber_frame frame(c);
    try {
      c.run_body();
    } catch (const canceled& e) {
      c.outcome_ = c.below(e.origin().order()) || ended_with_its_bubble(e) ? outcome::canceled : outcome::failed;
      if (c.outcome_ == outcome::failed) c.error_ = std::current_exception();
    } catch (...) {
      c.outcome_ = outcome::failed;
      c.error_ = std::current_exception();
      // acquire: pairs with set_unhandled_hook(). Here, so that the exception is the current one.
      const sched::world* in = sched::this_world();
      if (c.escape_ == escape::terminate && !hook.load(shim::order::acquire) && !(in && in->controlled_by)) {
        report_exception(c.error_);
        std::terminate();
      }
    }
    if (c.escape_ == escape::terminate && c.error_) deliver_unhandled(std::exchange(c.error_, nullptr));
  }
  hb_release(&c.joiners_);
}

void task_core::after_fiber(sched::job& j) noexcept {
  auto& c = static_cast<task_core&>(j);
  sched::wake_list woken;
  {
    raw_guard hold(c.lock);
    c.done_ = true;
    woken.claim_all(c.joiners_);
  }
  woken.wake_all();
  c.see_end();  // for the case that this is the last reference
  c.release_ref();
}

void task_core::see_end() noexcept { hb_acquire(&joiners_); }

bool task_core::done() noexcept {
  choice_point(operation::look, this);
  raw_guard hold(lock);
  if (done_) see_end();
  return done_;
}

/// A stop of the runtime has given the fiber up (a task in a static object, say): nobody will end it.
bool task_core::left_behind() const noexcept {
  // relaxed: the record belongs to this task or to another one; a stop has abandoned it before whatever asks
  return fiber_ && fiber_->work.load(shim::order::relaxed) == this &&
         fiber_->state.load(shim::order::relaxed) == sched::fiber_state::abandoned;  // relaxed: as above
}

void task_core::join(context_node* extra) {
  choice_point(operation::join, this);
  check_canceled(extra);
  if (left_behind()) throw_misuse("runnel::task: the runtime has stopped without this task's end; join it inside run()");
  sched::waiter w;
  sched::wait_node n(w);
  {
    raw_guard hold(lock);
    if (done_) {
      see_end();
      return;
    }
    if (sched::current_job() == this)
      throw_misuse("runnel::task: a task joins itself, and would wait for its own end: let another one join it");
    add_joiner(n);
  }
  if (wait(w, sched::wait_reason::task_join, this, never, extra) == sched::was_canceled) {
    {
      raw_guard hold(lock);
      joiners_.remove(n);
    }
    throw_wait_canceled(extra);
  }
  see_end();
}

void task_core::join_shielded() noexcept {
  if (left_behind() || sched::in_forked_child()) return;
  {
    raw_guard hold(lock);
    if (done_) return see_end();  // as nearly always, after get()
  }
  if (sched::current_job() == this)
    fatal("runnel::task: a task destroys its own handle, which waits for its end: let another one destroy it");
  ambient_scope shield(nullptr);
  join(nullptr);
}

void task_core::rethrow() {
  if (outcome_ == outcome::canceled) throw task_canceled();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void task_core::drop_error() noexcept {
  if (error_ && std::uncaught_exceptions() == 0) deliver_unhandled(std::exchange(error_, nullptr));
  error_ = nullptr;
}

// ---- blocking --------------------------------------------------------------------------------------------------

namespace {

struct pool_call : sched::blocking_job {
  explicit pool_call(blocking_call& c) noexcept : call(c) { blocking_job::run = &on_thread; }
  static void on_thread(sched::blocking_job& j) noexcept {
    auto& p = static_cast<pool_call&>(j);
    hb_acquire(&p);
    p.call.invoke();
    hb_release(&p);
    sched::wake_list woken;
    {
      raw_guard hold(p.object.lock);
      p.done = true;
      woken.claim_all(p.waiters);
    }
    woken.wake_all();  // touches the waiters it has claimed, and no longer p
  }
  bool finished_or_enqueue(sched::wait_node& n) noexcept {
    raw_guard hold(object.lock);
    if (done) return true;
    waiters.push_back(n);
    return false;
  }
  void remove(sched::wait_node& n) noexcept {
    raw_guard hold(object.lock);
    waiters.remove(n);
  }

  blocking_call& call;
  sched::wait_object object;
  sched::wait_queue waiters;
  bool done = false;
};

}  // namespace

void run_blocking(blocking_call& c, context_node* extra) {
  check_canceled(extra);
  if (const sched::world* in = sched::this_world(); in && in->controlled_by) {
    choice_point(operation::start, nullptr);
    return c.invoke();  // a thread of the pool would come and go as it likes
  }
  pool_call p(c);
  hb_release(&p);
  sched::submit_blocking(p);
  sched::waiter w;
  w.may_be_ended_from_outside();
  sched::wait_node n(w);
  if (!p.finished_or_enqueue(n) &&
      wait(w, sched::wait_reason::blocking_call, nullptr, never, extra) == sched::was_canceled) {
    p.remove(n);
    if (sched::withdraw_blocking(p)) throw_wait_canceled(extra);
    c.request_stop();
    sched::waiter again;
    again.may_be_ended_from_outside();
    sched::wait_node last(again);
    if (!p.finished_or_enqueue(last)) sched::park(again, sched::wait_reason::blocking_call, nullptr);
  }
  hb_acquire(&p);
}

}  // namespace runnel::inline RUNNEL_ABI::detail

namespace runnel::inline RUNNEL_ABI {

unhandled_hook set_unhandled_hook(unhandled_hook h) noexcept {
  return detail::hook.exchange(h, shim::order::acq_rel);  // acq_rel: hands what the hook uses to who calls it
}

void yield() {
  sched::agent& caller = sched::this_agent();
  detail::check_canceled(caller, nullptr);
  sched::yield_turn(caller);
}

namespace this_fiber {

id get_id() noexcept {
  const sched::agent& a = sched::this_agent();
  return a.is_fiber ? static_cast<const sched::fiber&>(a).label.id() : 0;
}

void set_name(std::string_view name) noexcept {
  sched::agent& a = sched::this_agent();
  if (!a.is_fiber) return;
  static_cast<sched::fiber&>(a).label.rename(name);
}

bool in_fiber() noexcept { return sched::this_agent().is_fiber; }

void checkpoint() {
  sched::choice_point(sched::operation::look, nullptr);
  sched::agent& caller = sched::this_agent();
  detail::check_canceled(caller, nullptr);
  sched::spend_turn(caller);
}

}  // namespace this_fiber
}  // namespace runnel::inline RUNNEL_ABI
