// Signals, from the kernel to subscribers: the handler notes the number and pokes a descriptor of the poller; a worker
// (or the monitor) delivers. A handler is installed while somebody subscribes to its signal.
#pragma once

#include <runnel/base/intrusive_list.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::sched {

struct subscriber_tag;
struct signal_subscriber : detail::list_hook<subscriber_tag> {
  std::uint64_t signals = 0;  ///< bit n: signal n + 1
  /// Under the hub's lock, once a signal: must be short. True: this subscriber has seen enough and is removed.
  bool (*deliver)(signal_subscriber&, int signo) noexcept = nullptr;
  /// Whether somebody waits for what it delivers; without the hub's lock being needed by it.
  bool (*awaited)(signal_subscriber&) noexcept = nullptr;
  /// A second signal before anybody could deliver the first takes its default action.
  bool impatient = false;
};

inline constexpr int last_signal = 64;
constexpr std::uint64_t signal_bit(int signo) noexcept { return std::uint64_t{1} << (signo - 1); }

/// Throws misuse for a number that cannot be caught.
void subscribe(signal_subscriber& s);
void unsubscribe(signal_subscriber& s) noexcept;
/// Whether somebody waits for a signal to be delivered.
bool signals_awaited() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
