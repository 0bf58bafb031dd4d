// Waiting for file descriptors on the runtime's own poller: the building block for I/O on fibers.
//
// Use when: a non-blocking descriptor (socket, pipe, eventfd) said EAGAIN. For regular files use blocking().
// Guarantees: returns when an operation would not block, or the descriptor is in error or hung up; like poll(2), a hint: the
// operation may still say EAGAIN when another party was faster.
// Errors: std::system_error when fd is not open. Closing a descriptor while somebody waits for it wakes nobody.
// Cost: one epoll_ctl call a wait.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/base/clock.hpp>

namespace runnel::inline RUNNEL_ABI {

class context;

/// - blocks: until fd can be read without blocking
/// - cancel: throws canceled
/// - threads: any
RUNNEL_PARKS void wait_readable(int fd);
RUNNEL_PARKS void wait_readable(const context& ctx, int fd);
/// False when the limit came first.
RUNNEL_PARKS bool wait_readable_for(int fd, duration limit);

/// - blocks: until fd can be written without blocking
/// - cancel: throws canceled
/// - threads: any
RUNNEL_PARKS void wait_writable(int fd);
RUNNEL_PARKS void wait_writable(const context& ctx, int fd);
/// False when the limit came first.
RUNNEL_PARKS bool wait_writable_for(int fd, duration limit);

}  // namespace runnel::inline RUNNEL_ABI
