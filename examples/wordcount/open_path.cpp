#include "open_path.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstddef>

namespace wordcount {
namespace {

descriptor open_at(int directory, const char* path, int flags) {
  int fd = -1;
  do fd = ::openat(directory, path, flags | O_CLOEXEC);
  while (fd < 0 && errno == EINTR);
  return descriptor(fd);
}

}  // namespace

descriptor::~descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

descriptor open_path(const std::string& path, int flags) {
  descriptor base;
  std::size_t begin = 0;
  while (path.size() - begin >= PATH_MAX) {
    const std::size_t slash = path.rfind('/', begin + PATH_MAX - 1);
    if (slash == std::string::npos || slash <= begin)
      break;  // one name of that length: openat says so
    const std::string piece = path.substr(begin, slash - begin);
    base = open_at(base ? base.get() : AT_FDCWD, piece.c_str(), O_PATH | O_DIRECTORY);
    if (!base) return {};
    begin = slash + 1;
  }
  return open_at(base ? base.get() : AT_FDCWD, path.c_str() + begin,
                 flags | O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

}  // namespace wordcount
