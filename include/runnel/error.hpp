// The exceptions that do not belong to one header. Expected outcomes are values; these are the rest.
#pragma once

#include <runnel/base/abi.hpp>

#include <exception>
#include <stdexcept>

namespace runnel::inline RUNNEL_ABI {

/// The caller broke the contract of an operation in a way that leaves the object intact: a null handle, a
/// negative counter, `run` inside a fiber. The message names the operation and the remedy.
class misuse : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// A send on a channel that is closed, or whose receivers are all gone. The value stays with the sender.
class channel_closed : public std::exception {
 public:
  const char* what() const noexcept override { return "send on a closed channel"; }
};

/// Thrown by task::get and task::join's result when the task itself was ended by its cancellation. Not a
/// `canceled`: the one who joins has not been cancelled.
class task_canceled : public std::exception {
 public:
  const char* what() const noexcept override { return "the task was cancelled"; }
};

namespace detail {
[[noreturn]] void throw_misuse(const char* what);
}
}  // namespace runnel::inline RUNNEL_ABI
