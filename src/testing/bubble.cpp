// A bubble: what the keeper finds when nothing can happen any more, and what it says of it.
#include <runnel/testing/bubble.hpp>

#include "testing/keeper.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

bool caller_is_canceled() noexcept {
  const context_node* n = ambient().cancel;
  return n && n->is_canceled();
}

}  // namespace

void run_bubble(void (*call)(void*), void* body, const site& at) {
  if (sched::this_world()) throw_misuse("runnel::bubble inside a bubble: time can only be virtual once; start a task instead");
  check_canceled();
  keeper k;
  k.start("bubble", {call, body}, at);
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
