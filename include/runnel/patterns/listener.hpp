// A listening socket whose accept() parks the fiber, and the connections that it gives: what serve() serves over a
// network.
//
// Use when: a program speaks a protocol of its own over stream sockets. When not: there is a library for the protocol.
// Guarantees: both own their descriptor and close it; accepted ones are non-blocking and close-on-exec.
// Blocking and cancellation: accept() is a cancellation point; it takes no connection then.
// Errors: std::system_error for what cannot be mended. A connection that has gone away before it was accepted is
// skipped; a shortage of descriptors or memory is waited out, for 5 ms first, then up to 1 s.
// Cost: one system call a connection while there are any; else a wait in the poller.
// Source: Go's net.Listener; the pauses are those of its http.Server.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/detail/joined_scope.hpp>
#include <runnel/fd.hpp>

#include <cstdint>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

/// An open stream socket. Move-only; empty when moved from.
class connection {
 public:
  /// Takes over fd.
  explicit connection(int fd) noexcept : fd_(fd) {}
  connection(connection&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  connection& operator=(connection&& o) noexcept {
    if (this != &o) {
      close();
      fd_ = std::exchange(o.fd_, -1);
    }
    return *this;
  }
  ~connection() { close(); }

  /// -1 when empty.
  int fd() const noexcept { return fd_; }
  /// Gives the descriptor up to the caller.
  int release() noexcept { return std::exchange(fd_, -1); }
  void close() noexcept;

 private:
  int fd_;
};

/// A socket that listens. Move-only.
class listener {
 public:
  /// Takes over fd, on which listen() was called, and makes it non-blocking; std::system_error when it is not open.
  explicit listener(int fd);
  /// Listens on 127.0.0.1, at a free port when that is 0.
  static listener loopback(std::uint16_t port = 0, int backlog = 128);

  int fd() const noexcept { return socket_.fd(); }
  /// The port of an IPv4 or IPv6 socket; 0 of others.
  std::uint16_t port() const;

  /// The next connection.
  /// - blocks: until there is one
  /// - cancel: throws canceled, none is taken
  /// - threads: any
  RUNNEL_PARKS connection accept() const;
  /// The same, observing ctx and the ambient context.
  /// - blocks: until there is one
  /// - cancel: throws canceled, none is taken
  /// - threads: any
  RUNNEL_PARKS connection accept(const context& ctx) const {
    const detail::joined_scope both(ctx);
    return accept();
  }

 private:
  connection socket_;
};

}  // namespace runnel::inline RUNNEL_ABI
