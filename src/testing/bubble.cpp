// The keeper of a world: starts the body, waits until the world is idle for good, judges what it finds, and ends the rest.
//
// Contexts: `end` is the root of everything in the bubble; the body and detached fibers are below it. Members that are under
// none of them (an after_func, without_cancel) observe it all the same, see end_of_bubble() in context.cpp. The caller's own
// context is not above it, because its deadline belongs to another clock: the keeper passes its cancellation on.
#include <runnel/testing/bubble.hpp>

#include "sched/fiber_pool.hpp"
#include "sched/report.hpp"
#include "sched/world.hpp"

#include <string>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

class keeper {
 public:
  keeper() : world_(sched::world::open()) {}
  ~keeper() {
    const bool stuck = world_.members() != 0;
    if (stuck) sched::abandon_fibers(&world_);
    world_.close(stuck);
  }
  keeper(const keeper&) = delete;
  keeper& operator=(const keeper&) = delete;

  void start(void (*call)(void*), void* body, const site& at) {
    const sched::world_scope in(world_);
    end_ = ref_ptr<context_node>::adopt(new plain_node(nullptr, ambient().values));
    world_.ending = end_.get();
    auto run = [this, call, body] {
      struct at_end {
        keeper& k;
        ~at_end() {
          if (!k.end_->is_canceled()) k.world_.hold_time(true);
          k.root_->cancel(nullptr);
        }
      } end{*this};
      call(body);
    };
    root_ = ref_ptr<task_core>::adopt(new task_frame<void, decltype(run)>({end_.get(), end_.get()}, run));
    root_->start({stack_class::standard, "bubble", at});
  }

  /// Until the world is idle for good. False: the caller was canceled before.
  bool wait_until_idle() {
    sched::waiter w;
    world_.tell(w);
    if (wait(w, sched::wait_reason::bubble, nullptr) != sched::was_canceled) return true;
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
  std::string describe(const char* heading) const { return sched::describe_fibers(heading, &world_); }

 private:
  sched::world& world_;
  ref_ptr<context_node> end_;
  ref_ptr<task_core> root_;
};

bool caller_is_canceled() noexcept {
  const context_node* n = ambient().cancel;
  return n && n->is_canceled();
}

}  // namespace

void run_bubble(void (*call)(void*), void* body, const site& at) {
  if (sched::this_world()) throw_misuse("runnel::bubble inside a bubble: time can only be virtual once; start a task instead");
  check_canceled();
  keeper k;
  k.start(call, body, at);
  const bool idle = k.wait_until_idle();
  const bool deadlock = idle && !k.root().done();
  // The caller may have been canceled before it waited, and with that the hope of whoever waits inside.
  if (!idle || (deadlock && caller_is_canceled())) {
    k.end();
    throw_wait_canceled();
  }
  std::string verdict;
  if (deadlock) {
    verdict = k.describe("deadlock in a bubble: every fiber is blocked and no timer is left");
  } else if (k.left_anybody()) {
    verdict = k.describe("leak in a bubble: its body has ended, these fibers have not");
  }
  if (!verdict.empty()) k.end();
  if (!deadlock) k.root().rethrow();
  if (!verdict.empty()) throw bubble_error(verdict);
}

}  // namespace runnel::inline RUNNEL_ABI::detail
