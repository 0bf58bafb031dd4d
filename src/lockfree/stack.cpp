// Treiber's stack. push() and pop() take effect at their compare-exchange; a pop() that finds nothing, at its load of the top.
//
// Invariants
//  1. top_ and the `next`s are a list of nodes, each pushed once in its life. A node's `next` is not written after its push.
//  2. Who has popped a node owns all of it but `next`, which others may still read: it is retired, and so not pushed again, nor
//     its memory used for another node, while a slot protects it. Therefore the compare-exchange of pop() cannot take a list
//     that has changed for the one that it has seen (no ABA).
// A pop() uses the slot that its thread has for that purpose: nothing in it waits or calls the user.
// Progress: lock-free. Who loses a compare-exchange pauses, longer each time, up to a bound.
#include <runnel/detail/stack_core.hpp>

#include <runnel/base/backoff.hpp>

#include "fiber/sanitizer.hpp"
#include "lockfree/hazard_domain.hpp"

#include <new>

namespace runnel::inline RUNNEL_ABI::detail {

using sanitizer::hb_acquire;
using sanitizer::hb_release;

void stack_core::push(stack_node& n) noexcept {
  hb_release(&n);
  stack_node* seen = top_.load(shim::order::relaxed);  // relaxed: confirmed by the compare-exchange
  for (backoff race;; race.lost()) {
    n.next = seen;
    // release: pairs with pop(), for the node; relaxed on failure: tried again
    if (top_.compare_exchange(seen, &n, shim::order::release, shim::order::relaxed)) return;
  }
}

stack_node* stack_core::pop() {
  hazard_cache* const c = hazards.cache();
  if (!c) throw std::bad_alloc();
  hazard_slot& protection = *c->own;
  stack_node* seen = top_.load(shim::order::relaxed);  // relaxed: loaded once more when it is protected
  for (backoff race; seen;) {
    stack_node* const top = protection.protect(seen, top_);  // acquires: pairs with push(), for `next` and the element
    if (top != seen) {
      seen = top;
      continue;
    }
    // relaxed: what follows from it was ordered by the load before; on failure it is tried again
    if (top_.compare_exchange(seen, top->next, shim::order::relaxed, shim::order::relaxed)) {
      protection.clear();
      hb_acquire(top);
      return top;
    }
    race.lost();
  }
  protection.clear();
  return nullptr;
}

}  // namespace runnel::inline RUNNEL_ABI::detail
