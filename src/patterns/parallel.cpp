// Failures of fork-join operations, and the context of the branches that others run.
//
// A branch that its owner runs does so under the owner's context, as a plain call does. The first that another one runs
// makes a context below that, for itself and all others of the scope that are run elsewhere.
// A failure is kept if it is the first, and then acts: branches that have not begun are skipped (failed_), those
// elsewhere are canceled by their context, and the owner, which has none of its own, is canceled from the side
// (sched::cancel_owner).
// Destruction: who fails elsewhere touches the scope before its branch has ended, and the owner leaves after that.
#include <runnel/patterns/parallel.hpp>

#include "fiber/sanitizer.hpp"

#include <runnel/detail/task_core.hpp>

#include <algorithm>

namespace runnel::inline RUNNEL_ABI::detail {

void parallel_scope::look_whether_canceled() {
  try {
    check_canceled();
  } catch (...) {
    sched::leave(*this);
    throw;
  }
}

/// The context of branches that run elsewhere; null: one has failed, and none is to begin.
context_node* parallel_scope::node_of_others() {
  if (context_node* n = node_.load(shim::order::acquire)) return n;  // acquire: pairs with the store below
  context_node* values = ambient ? ambient : &background_node();
  auto fresh = ref_ptr<context_node>::adopt(new plain_node(shields ? nullptr : values, values));
  const raw_guard hold(lock_);
  if (failed()) return nullptr;
  if (context_node* n = node_.load(shim::order::relaxed)) return n;  // relaxed: under the lock
  context_node* n = fresh.detach();
  node_.store(n, shim::order::release);  // release: publishes the node
  return n;
}

void parallel_scope::run_under_context(sched::job& j, void (*call)(sched::branch&)) noexcept {
  auto& b = static_cast<sched::branch&>(j);
  auto& s = static_cast<parallel_scope&>(*b.scope);
  sanitizer::hb_acquire(&b);
  try {
    if (context_node* n = s.failed() ? nullptr : s.node_of_others()) {
      const fiber_frame frame(*n);
      try {
        call(b);
      } catch (...) {
        s.fail();
      }
    }
  } catch (...) {
    s.fail();  // without memory for the context
  }
  sanitizer::hb_release(&b);
}

void parallel_scope::fail() noexcept {
  const std::exception_ptr e = std::current_exception();
  context_node* n;
  {
    const raw_guard hold(lock_);
    if (failed()) return;
    error_ = e;
    failed_.store(1, shim::order::relaxed);  // relaxed: see failed()
    n = node_.load(shim::order::relaxed);       // relaxed: under the lock
  }
  if (!n) return;  // everything has run on the owner so far, or memory is short
  n->cancel(e);
  sched::cancel_owner(*this, *n);
}

void parallel_scope::fail_canceled() noexcept {
  try {
    ambient->throw_canceled();
  } catch (...) {
    fail();
  }
}

void parallel_scope::end() {
  if (context_node* n = node_.load(shim::order::relaxed)) {  // relaxed: everybody has ended
    n->cancel(nullptr);
    n->release_ref();
    node_.store(nullptr, shim::order::relaxed);  // relaxed: as above
    sched::uncancel_owner(*this);
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void run_elsewhere(sched::branch& b) {
  sched::start(b);
  if (sched::join_slowly(b, {})) throw_misuse("runnel: the runtime has stopped without the end of a parallel operation");
}

std::size_t automatic_grain(std::size_t n) noexcept {
  const std::size_t pieces = 8 * std::max<std::size_t>(1, sched::width());
  return std::max<std::size_t>(1, n / pieces);
}

}  // namespace runnel::inline RUNNEL_ABI::detail
