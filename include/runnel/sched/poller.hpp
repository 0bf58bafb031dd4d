// Readiness of file descriptors on the runtime's own epoll instance.
//
// One fd may be waited for by several parties in both directions; registrations are one-shot and armed again
// while somebody waits. A descriptor that is closed while waited for wakes nobody: cancel the waiters first.
#pragma once

#include <runnel/sched/waiter.hpp>

namespace runnel::inline RUNNEL_ABI::sched {

enum class readiness : std::uint8_t { readable, writable };

/// The lock under which readiness is registered; a wait_object, so that select can hold it with others.
wait_object& poller_object();

/// Links n as a waiter for the readiness of fd and arms the kernel's notification. Under poller_object().lock.
/// False: fd is of a kind that is always ready (a regular file). Throws std::system_error when fd is not open.
bool watch(int fd, readiness what, wait_node& n);

/// Unlinks n where it is still linked. Under poller_object().lock.
void unwatch(int fd, readiness what, wait_node& n) noexcept;

/// Whether fd is ready this instant. Throws std::system_error when fd is not open.
bool ready_now(int fd, readiness what);

}  // namespace runnel::inline RUNNEL_ABI::sched
