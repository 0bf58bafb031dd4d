#include <runnel/fiber_local.hpp>

#include "sched/agent.hpp"

namespace runnel::inline RUNNEL_ABI::detail {

namespace {
shim::atomic<std::uint64_t> last_key{0};
}

std::uint64_t new_fiber_local_key() noexcept {
  return last_key.fetch_add(1, shim::order::relaxed) + 1;  // relaxed: only uniqueness matters
}

fiber_local_value* find_fiber_local(std::uint64_t key) noexcept {
  for (fiber_local_value* v = sched::this_agent().locals; v; v = v->next)
    if (v->key == key) return v;
  return nullptr;
}

void add_fiber_local(std::uint64_t key, fiber_local_value* v) noexcept {
  sched::agent& a = sched::this_agent();
  v->key = key;
  v->next = a.locals;
  a.locals = v;
}

}  // namespace runnel::inline RUNNEL_ABI::detail

namespace runnel::inline RUNNEL_ABI::sched {

void destroy_locals(agent& a) noexcept {
  while (detail::fiber_local_value* v = a.locals) {  // a destructor may make new ones
    a.locals = v->next;
    delete v;
  }
}

}  // namespace runnel::inline RUNNEL_ABI::sched
