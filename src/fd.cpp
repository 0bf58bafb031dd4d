#include <runnel/context.hpp>
#include <runnel/fd.hpp>
#include <runnel/sched/poller.hpp>

namespace runnel::inline RUNNEL_ABI {

namespace {

using sched::readiness;

bool wait_ready(int fd, readiness what, time_point deadline, detail::context_node* extra) {
  detail::check_canceled(extra);
  if (sched::ready_now(fd, what)) {
    sched::spend_turn();
    return true;
  }
  sched::waiter w;
  sched::wait_node n(w);
  {
    detail::raw_guard hold(sched::poller_object().lock);
    if (!sched::watch(fd, what, n)) return true;
  }
  const auto reason =
      what == readiness::readable ? sched::wait_reason::fd_readable : sched::wait_reason::fd_writable;
  const sched::claim_token t = detail::wait(w, reason, nullptr, deadline, extra);
  if (t == sched::granted) return true;
  {
    detail::raw_guard hold(sched::poller_object().lock);
    sched::unwatch(fd, what, n);
  }
  if (t == sched::was_canceled) detail::throw_wait_canceled(extra);
  return false;
}

}  // namespace

void wait_readable(int fd) { wait_ready(fd, readiness::readable, never, nullptr); }
void wait_readable(const context& ctx, int fd) { wait_ready(fd, readiness::readable, never, &detail::node_of(ctx)); }
bool wait_readable_for(int fd, duration limit) { return wait_ready(fd, readiness::readable, limit.from_now(), nullptr); }
void wait_writable(int fd) { wait_ready(fd, readiness::writable, never, nullptr); }
void wait_writable(const context& ctx, int fd) { wait_ready(fd, readiness::writable, never, &detail::node_of(ctx)); }
bool wait_writable_for(int fd, duration limit) { return wait_ready(fd, readiness::writable, limit.from_now(), nullptr); }

}  // namespace runnel::inline RUNNEL_ABI
