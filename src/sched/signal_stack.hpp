// What happens when a fiber uses up its stack: a fault in the guard, reported from a stack of its own.
// Where the kernel gives no more guards, it is found when the fiber leaves the stack.
#pragma once

#include <runnel/base/abi.hpp>

#include <signal.h>

#include <cstddef>

namespace runnel::inline RUNNEL_ABI::sched {

struct fiber;

/// Ends the process with the same report if f, which is running, has used up a stack whose guard is in software.
void check_stack(const fiber& f) noexcept;

/// Installs the handler once; a fault that is not an overflow goes on to the handler that was there before.
void install_overflow_report() noexcept;

/// Calls the handler that was there before; where there was none, lets the fault end the process. Async-signal-safe.
void hand_on_fault(const struct sigaction& before, int signo, siginfo_t* info, void* context) noexcept;

/// The alternate signal stack of a thread, for the scope's length.
class signal_stack {
 public:
  signal_stack() noexcept;
  ~signal_stack();
  signal_stack(const signal_stack&) = delete;
  signal_stack& operator=(const signal_stack&) = delete;

 private:
  static constexpr std::size_t bytes = 64 * 1024;
  void* memory_ = nullptr;
};

}  // namespace runnel::inline RUNNEL_ABI::sched
