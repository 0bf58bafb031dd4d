// accept() asks the kernel first and waits only when there is nothing: under load a connection costs one system call.
// No lost wake-up of its own: the poller reports a descriptor that is readable when the wait begins.
#include <runnel/patterns/listener.hpp>

#include "base/last_errno.hpp"

#include <runnel/go.hpp>
#include <runnel/time.hpp>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace runnel::inline RUNNEL_ABI {

namespace {

[[noreturn]] void fail(const char* what) {
  throw std::system_error(detail::last_errno(), std::generic_category(), what);
}

enum class next { wait, again, pause, give_up };

next after_error(int error) noexcept {
  switch (error) {
    case EAGAIN:
      return next::wait;
    // Of the connection, not of the listener: accept(2) passes them on.
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EPERM:
      return next::again;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return next::pause;
    default:
      return next::give_up;
  }
}

}  // namespace

void connection::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

listener::listener(int fd) : socket_(fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) fail("runnel::listener: fcntl");
}

listener listener::loopback(std::uint16_t port, int backlog) {
  connection socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) fail("runnel::listener: socket");
  const int on = 1;
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fail("runnel::listener: bind");
  if (::listen(socket.fd(), backlog) != 0) fail("runnel::listener: listen");
  return listener(socket.release());
}

std::uint16_t listener::port() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd(), reinterpret_cast<sockaddr*>(&address), &size) != 0) fail("runnel::listener: getsockname");
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return 0;
}

connection listener::accept() const {
  using std::chrono::milliseconds;
  for (milliseconds pause(5);;) {
    this_fiber::checkpoint();
    const int accepted = ::accept4(fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) return connection(accepted);
    switch (after_error(detail::last_errno())) {
      case next::wait:
        wait_readable(fd());
        break;
      case next::again:
        break;
      case next::pause:
        sleep_for(pause);
        pause = std::min(2 * pause, milliseconds(1000));
        break;
      case next::give_up:
        fail("runnel::listener: accept");
    }
  }
}

}  // namespace runnel::inline RUNNEL_ABI
