#include <runnel/signal.hpp>

#include "channel.hpp"
#include "sched/signals.hpp"

#include <string>

namespace runnel::inline RUNNEL_ABI {

namespace {
constexpr std::size_t untaken = 8;
}

struct signal_channel::subscription : sched::signal_subscriber {
  subscription(detail::channel_core* c, std::initializer_list<int> numbers) : channel(c) {
    for (int n : numbers) {
      if (n < 1 || n > sched::last_signal) throw misuse("runnel::signal_channel: " + std::to_string(n) + " is no signal");
      signals |= sched::signal_bit(n);
    }
    deliver = [](sched::signal_subscriber& s, int signo) noexcept {
      detail::channel_core* core = static_cast<subscription&>(s).channel;
      sched::wake_list woken;
      {
        detail::raw_guard hold(core->lock);
        static_cast<void>(core->try_send_locked(&signo, woken));
      }
      woken.wake_all();
      return false;
    };
    awaited = [](sched::signal_subscriber& s) noexcept {
      detail::channel_core* core = static_cast<subscription&>(s).channel;
      const detail::raw_guard hold(core->lock);
      return core->receivers_waiting();
    };
    sched::subscribe(*this);
  }
  ~subscription() {
    sched::unsubscribe(*this);
  }
  detail::channel_core* channel;
};

signal_channel::signal_channel(std::initializer_list<int> numbers)
    : ref_(detail::make_channel_core(detail::element_ops_of<int>::ops, untaken)),
      subscription_(std::make_unique<subscription>(ref_.get(), numbers)) {}
signal_channel::signal_channel(signal_channel&&) noexcept = default;
signal_channel& signal_channel::operator=(signal_channel&& o) noexcept {
  signal_channel taken(std::move(o));  // the signals of the one that is overwritten get their former action back with it
  std::swap(ref_, taken.ref_);
  std::swap(subscription_, taken.subscription_);
  return *this;
}
signal_channel::~signal_channel() = default;

}  // namespace runnel::inline RUNNEL_ABI
