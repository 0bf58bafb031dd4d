#include <runnel/time.hpp>

#include "channel.hpp"

#include <runnel/sched/operation.hpp>

#include <stdexcept>

namespace runnel::inline RUNNEL_ABI {

namespace {

void sleep(time_point t, detail::context_node* extra) {
  sched::choice_point(sched::operation::sleep, nullptr);
  detail::check_canceled(extra);
  sched::waiter w;  // nobody but the clock and the contexts knows it
  if (detail::wait(w, sched::wait_reason::sleep, nullptr, t, extra) == sched::was_canceled)
    detail::throw_wait_canceled(extra);
}

void sleep(duration d, detail::context_node* extra) {
  if (d.nanoseconds() > std::chrono::nanoseconds::zero()) return sleep(d.from_now(), extra);
  detail::check_canceled(extra);
  sched::yield_turn();
}

}  // namespace

void sleep_for(duration d) { sleep(d, nullptr); }
void sleep_for(const context& ctx, duration d) { sleep(d, &detail::node_of(ctx)); }
void sleep_until(time_point t) { sleep(t, nullptr); }
void sleep_until(const context& ctx, time_point t) { sleep(t, &detail::node_of(ctx)); }

namespace detail {

/// Protocol: the channel's buffer of one holds the untaken tick. Ticks are put in and stale ones taken out under the timer
/// lock and, inside it, the channel's; so after stop() none is left and none can come.
struct timer_source : sched::timer_node {
  timer_source(channel_core* c, std::chrono::nanoseconds p) noexcept : timer_node(&tick), channel(c), period(p) {}

  static sched::deferred* tick(sched::timer_node& n, time_point now, sched::wake_list& woken) noexcept {
    auto& s = static_cast<timer_source&>(n);
    {
      raw_guard hold(s.channel->lock);
      static_cast<void>(s.channel->try_send_locked(&now, woken));  // full: the tick is dropped
    }
    if (s.period > std::chrono::nanoseconds::zero()) {
      const auto missed = (now - s.deadline) / s.period;
      s.deadline = duration(s.period).after(s.deadline + s.period * missed);
      s.again = s.deadline != never;
    }
    return nullptr;
  }
  /// What a stop or reset asks for, and what it found; exchanged under the timer lock.
  struct change_request {
    std::chrono::nanoseconds period;
    bool dropped = false;
  };
  static void prepare(sched::timer_node& n, void* argument) noexcept {
    auto& s = static_cast<timer_source&>(n);
    auto& request = *static_cast<change_request*>(argument);
    s.period = request.period;
    sched::wake_list nobody;  // no sender waits for room in this channel
    std::optional<time_point> stale;
    raw_guard hold(s.channel->lock);
    request.dropped = s.channel->try_receive_locked(&stale, nobody) == channel_status::ok;
  }
  bool change(std::optional<time_point> next, std::chrono::nanoseconds new_period) {
    change_request request{new_period};
    const bool was_armed = sched::rearm(*this, next, &prepare, &request);
    return was_armed || request.dropped;
  }

  channel_core* channel;
  std::chrono::nanoseconds period;  // under the timer lock
};

timer_handle::timer_handle(time_point first, std::chrono::nanoseconds period)
    : ref_(make_channel_core(element_ops_of<time_point>::ops, 1)), source_(new timer_source(ref_.get(), period)) {
  sched::choice_point(sched::operation::arm, ref_.peek());
  sched::arm(*source_, first);
}

timer_handle::~timer_handle() {
  if (!source_) return;
  sched::disarm(*source_);
  delete source_;
}

bool timer_handle::stop() {
  sched::choice_point(sched::operation::stop, ref_.peek());
  if (!source_) throw_misuse("runnel::timer: used after it was moved from");
  return source_->change(std::nullopt, std::chrono::nanoseconds::zero());
}

bool timer_handle::reset(time_point next, std::chrono::nanoseconds period) {
  sched::choice_point(sched::operation::arm, ref_.peek());
  if (!source_) throw_misuse("runnel::timer: used after it was moved from");
  return source_->change(next, period);
}

}  // namespace detail

const duration& ticker::checked(const duration& period) {
  if (period.nanoseconds() <= std::chrono::nanoseconds::zero())
    throw std::invalid_argument("runnel::ticker: the period must be positive");
  return period;
}

}  // namespace runnel::inline RUNNEL_ABI
