#include "input_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace wordcount {
namespace {

constexpr std::size_t max_chunk = std::size_t{256} * 1024;

/// The number of bytes read, fewer than `wanted` only at the file's end; -1: see errno.
ssize_t read_fully(int fd, char* data, std::size_t wanted) {
  std::size_t done = 0;
  while (done < wanted) {
    const ssize_t got = ::read(fd, data + done, wanted - done);
    if (got == 0) break;
    if (got > 0)
      done += static_cast<std::size_t>(got);
    else if (errno != EINTR)
      return -1;
  }
  return static_cast<ssize_t>(done);
}

}  // namespace

bool input_file::open() {
  const bool given = file_.from == origin::given_by_user;
  fd_ = open_path(file_.path, given ? 0 : O_NOFOLLOW);
  struct stat status {};
  if (!fd_ || ::fstat(fd_.get(), &status) != 0) {
    if (given || errno != ELOOP) log_.add(file_.path, errno);  // ELOOP: it has become a link
    return false;
  }
  remaining_ = status.st_size > 0 ? static_cast<std::uint64_t>(status.st_size)
                                  : std::numeric_limits<std::uint64_t>::max();
  return S_ISREG(status.st_mode);
}

std::optional<chunk> input_file::next() {
  done_ = true;  // unless there is a chunk that is not the last
  if (!fd_ && !open()) return std::nullopt;
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, max_chunk));
  chunk c{std::make_unique_for_overwrite<char[]>(wanted)};
  const ssize_t got = read_fully(fd_.get(), c.data.get(), wanted);
  if (got < 0) {
    log_.add(file_.path, errno);
    return std::nullopt;
  }
  c.size = static_cast<std::size_t>(got);
  remaining_ -= c.size;
  c.first = std::exchange(at_start_, false);
  c.last = done_ = c.size < wanted || remaining_ == 0;
  return c;
}

}  // namespace wordcount
