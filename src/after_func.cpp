// after_func: a fiber that is reserved when the function is registered and started when the context is canceled.
#include <runnel/context.hpp>

#include "sched/agent.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/detail/task_core.hpp>
#include <runnel/sched/fork.hpp>
#include <runnel/sched/operation.hpp>

#include <memory>

namespace runnel::inline RUNNEL_ABI::detail {

using sanitizer::hb_acquire;
using sanitizer::hb_release;

namespace {

/// Two references: the handle's, and that of the registration, which becomes the fiber's.
struct registration : sched::job, sched::wait_object {
  registration(after_core& c, context_node& n, bool part_of_node)
      : core(&c), node(n), kept(part_of_node ? nullptr : &n), ambient(ref_ptr<context_node>::adopt(new plain_node(nullptr, kept.get()))) {
    job::run = &run_on_fiber;
    job::finished = &after_fiber;
  }

  static void fire(cancel_hook& h) noexcept {
    auto& r = *static_cast<registration*>(static_cast<after_core&>(h).state);
    hb_release(&r);
    sched::start_fiber(r.fiber, r);
  }
  static void run_on_fiber(sched::job& j) noexcept {
    auto& r = static_cast<registration&>(j);
    hb_acquire(&r);
    r.running_on.store(&sched::this_agent(), shim::order::relaxed);  // relaxed: see the destructor of the handle
    {
      fiber_frame frame(*r.ambient);
      try {
        r.core->call_function(*r.core);
      } catch (...) {
        deliver_unhandled(std::current_exception());
      }
    }
    hb_release(&r);
  }
  static void after_fiber(sched::job& j) noexcept {
    auto& r = static_cast<registration&>(j);
    hb_acquire(&r);
    sched::wake_list woken;
    {
      raw_guard hold(r.lock);
      r.done = true;
      woken.claim_all(r.waiters);
    }
    woken.wake_all();
    r.release();
  }
  void release() noexcept {
    hb_release(&refs);
    if (refs.fetch_sub(1, shim::order::acq_rel) != 1) return;  // acq_rel: both uses happen before the end
    hb_acquire(&refs);
    delete core;
    delete this;
  }

  after_core* core;
  context_node& node;
  ref_ptr<context_node> kept;     ///< node, unless this is a part of it
  ref_ptr<context_node> ambient;  ///< of the function
  sched::fiber* fiber = nullptr;
  shim::atomic<sched::agent*> running_on{nullptr};
  bool done = false;
  sched::wait_queue waiters;
  shim::atomic<std::uint32_t> refs{2};
};

registration& of(after_core* c) noexcept { return *static_cast<registration*>(c->state); }

/// True: it will not run, and the registration's reference is gone.
bool withdraw(registration& r) noexcept {
  if (!r.node.remove_hook(*r.core)) return false;
  sched::release_fiber(r.fiber);
  {
    raw_guard hold(r.lock);
    r.done = true;  // there is nothing to wait for
  }
  r.release();
  return true;
}

}  // namespace

void register_after(after_core* c, const context& ctx, const site& at, bool part_of_context) {
  sched::choice_point(sched::operation::start, nullptr, at);
  std::unique_ptr<after_core> owned(c);
  auto r = std::make_unique<registration>(*c, node_of(ctx), part_of_context);
  r->fiber = sched::reserve_fiber(stack_class::standard, "after_func", at);
  owned.release();
  c->state = r.get();
  c->fire = &registration::fire;
  registration& registered = *r.release();
  hb_release(&registered);
  if (!registered.node.add_hook(*c)) registration::fire(*c);
}

void drop_after(after_core* c) noexcept {
  registration& r = of(c);
  withdraw(r);
  r.release();
}

}  // namespace runnel::inline RUNNEL_ABI::detail

namespace runnel::inline RUNNEL_ABI {

bool after_func_handle::stop() noexcept {
  sched::choice_point(sched::operation::stop, core_);
  return core_ && detail::withdraw(detail::of(core_));
}

after_func_handle::~after_func_handle() {
  if (!core_) return;
  detail::registration& r = detail::of(core_);
  if (!stop()) {
    // relaxed: compared with ourselves only, and only we can have stored that
    if (r.running_on.load(shim::order::relaxed) == &sched::this_agent())
      detail::fatal("the handle of an after_func is destroyed inside its own function: keep it elsewhere");
    sched::waiter w;
    sched::wait_node n(w);
    bool wait = false;
    {
      detail::raw_guard hold(r.lock);
      if (!r.done && !sched::in_forked_child()) {
        w.may_be_ended_by(r);
        r.waiters.push_back(n);
        wait = true;
      }
    }
    if (wait) sched::park(w, sched::wait_reason::after_func_stop, &r);
    detail::hb_acquire(&r);
  }
  r.release();
}

}  // namespace runnel::inline RUNNEL_ABI
