#include "testing/explore/rcu_end.hpp"

#include "lockfree/rcu_state.hpp"
#include "sched/world.hpp"

#include <runnel/base/raw_lock.hpp>

namespace runnel::inline RUNNEL_ABI::detail::explorer {

namespace {
rcu_list never_deleted;  // under the state's lock
}

void end_rcu_of(const sched::world& w, std::uint32_t number, bool complete) noexcept {
  rcu_state& s = the_rcu();
  s.for_each_reader([&](rcu_reader& r) {
    if (r.word.load(shim::order::relaxed) == 0) return;  // relaxed: the world is over
    const auto* const owner = static_cast<const sched::agent*>(r.key.load(shim::order::relaxed));  // relaxed: as above
    if (owner->lives_in != &w) return;
    r.sections = 0;
    r.word.store(0, shim::order::relaxed);  // relaxed: as above
    s.strike_off(r);
  });
  rcu_reader* const retired = s.find(rcu_retirer_key(number));
  if (!retired) return;
  {
    const raw_guard hold(retired->lock);
    if (!complete) {
      never_deleted.append(retired->pending);
      never_deleted.append(retired->fresh);
    }
  }
  s.strike_off(*retired);
  sched::agent& caller = sched::this_agent();
  if (complete && !sched::in_read_section(caller)) s.barrier(caller);
}

}  // namespace runnel::inline RUNNEL_ABI::detail::explorer
