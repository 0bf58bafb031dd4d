// The keeper of a world: starts the body, waits until the world is idle for good, and ends what is left.
//
// Contexts: `end` is the root of everything in the world; the body and detached fibers are below it. Members that are under
// none of them (an after_func, without_cancel) observe it all the same, see end_of_bubble() in context.cpp. The caller's own
// context is not above it, because its deadline belongs to another clock: the keeper passes its cancellation on.
#pragma once

#include "sched/fiber_pool.hpp"
#include "sched/report.hpp"
#include "sched/world.hpp"

#include <runnel/detail/task_core.hpp>

#include <string>

namespace runnel::inline RUNNEL_ABI::detail {

/// A function of the user, without its type.
struct world_body {
  void (*call)(void*);
  void* function;
};

class keeper {
 public:
  /// With a control, time goes on after the body's end.
  explicit keeper(sched::control* control = nullptr) : world_(sched::world::open()) { world_.controlled_by = control; }
  ~keeper() {
    const bool stuck = world_.members() != 0;
    if (stuck) sched::abandon_fibers(&world_);
    world_.close(stuck);
  }
  keeper(const keeper&) = delete;
  keeper& operator=(const keeper&) = delete;

  void start(const char* name, const world_body& body, const site& at) {
    const sched::world_scope in(world_);
    end_ = ref_ptr<context_node>::adopt(new plain_node(nullptr, ambient().values));
    world_.ending = end_.get();
    auto run = [this, body] {
      const at_end last{*this};
      body.call(body.function);
    };
    root_ = ref_ptr<task_core>::adopt(new task_frame<void, decltype(run)>({end_.get(), end_.get()}, run));
    root_->start({stack_class::standard, name, at});
  }

  /// Until the world is idle for good. False: the caller was canceled before.
  bool wait_until_idle() {
    sched::waiter w;
    world_.tell(w);
    if (wait(w, sched::wait_reason::bubble, nullptr) != sched::was_canceled) {
      world_.see_members();
      return true;
    }
    world_.untell();
    return false;
  }
  /// Cancels every member and waits until what can end has ended.
  void end() {
    const ambient_scope shield(nullptr);
    world_.hold_time(false);
    end_->cancel(nullptr);
    wait_until_idle();
  }
  bool left_anybody() const noexcept { return world_.members() != 0; }
  task_core& root() noexcept { return *root_; }
  sched::world& world() noexcept { return world_; }
  std::string describe(const char* heading) const { return sched::describe_fibers(heading, &world_); }

 private:
  struct at_end {
    keeper& k;
    ~at_end() {
      if (!k.world_.controlled_by && !k.end_->is_canceled()) k.world_.hold_time(true);
      k.root_->cancel(nullptr);
    }
  };

  sched::world& world_;
  ref_ptr<context_node> end_;
  ref_ptr<task_core> root_;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
