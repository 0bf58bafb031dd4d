// Descriptors: a read that parks the fiber and not its thread.
#include <runnel/fd.hpp>
#include <runnel/runnel.hpp>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {

/// One read from a non-blocking descriptor; empty at the end of the stream.
std::string read_some(int fd) {
  std::array<char, 512> buffer;
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n >= 0) return {buffer.data(), static_cast<std::size_t>(n)};
    if (errno != EAGAIN) throw std::system_error(errno, std::generic_category(), "read");
    runnel::wait_readable(fd);
  }
}

}  // namespace

int main() {
  return runnel::run([] {
    std::array<int, 2> ends;
    if (::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0)
      throw std::system_error(errno, std::generic_category(), "pipe2");
    const int in = ends[0], out = ends[1];

    auto reader = runnel::go([in] {
      std::string all;
      for (std::string part; !(part = read_some(in)).empty();) all += part;
      return all;
    });
    runnel::wait_writable(out);
    if (::write(out, "hello ", 6) != 6 || ::write(out, "pipe\n", 5) != 5) return 1;
    ::close(out);
    std::printf("read: %s", reader.get().c_str());

    // At its end the pipe is readable at once; otherwise the limit would come first.
    const bool ready = runnel::wait_readable_for(in, 1h);
    std::printf("end is readable: %s\n", ready ? "yes" : "no");
    ::close(in);

    try {
      runnel::wait_readable(in);
    } catch (const std::system_error& e) {
      std::printf("closed descriptor: %s\n",
                  e.code() == std::errc::bad_file_descriptor ? "EBADF" : e.what());
    }
    return 0;
  });
}
