// Signals as values: the numbers arrive in a channel.
//
//   signal_channel signals(SIGINT, SIGTERM);
//   select(on_receive(work, ...), on_receive(signals, [&](std::optional<int> s) { ... }));
//
// Use when: a program reacts to signals in its own way. To cancel everything on Ctrl-C use run_options::signals.
// Guarantees: while it lives the signals do not take their default action; afterwards what was there before is restored. A
// signal that finds eight untaken ones is dropped. A SIGSEGV, SIGBUS, SIGFPE or SIGILL that an instruction has raised is not
// delivered: it does what it would have done without the channel.
// Workers block all signals, so that raise() inside a fiber is not delivered: use kill(getpid(), number).
// Errors: misuse for a number that cannot be caught.
#pragma once

#include <runnel/channel.hpp>

#include <initializer_list>
#include <memory>

namespace runnel::inline RUNNEL_ABI {

/// Has the interface of a receive_channel<int>. Move-only.
class signal_channel : public detail::receiving<signal_channel, int>, public detail::observing<signal_channel> {
 public:
  using value_type = int;
  template <std::same_as<int>... Numbers>
  explicit signal_channel(int first, Numbers... more) : signal_channel({first, more...}) {}
  explicit signal_channel(std::initializer_list<int> numbers);
  signal_channel(signal_channel&&) noexcept;
  signal_channel& operator=(signal_channel&&) noexcept;
  ~signal_channel();

  const detail::channel_ref& ref() const noexcept { return ref_; }

 private:
  struct subscription;
  detail::channel_ref ref_;
  std::unique_ptr<subscription> subscription_;
};

}  // namespace runnel::inline RUNNEL_ABI
