// open(2) for paths of any length: a deep tree has paths longer than the kernel takes at once.
#pragma once

#include <string>
#include <utility>

namespace wordcount {

/// Owns a file descriptor.
class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor();

  explicit operator bool() const noexcept { return fd_ >= 0; }
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

/// Opens for reading with the extra `flags`; O_CLOEXEC, O_NOCTTY and O_NONBLOCK are always set, so
/// that nothing that has taken a file's place can make the call wait. An empty descriptor: see
/// errno.
descriptor open_path(const std::string& path, int flags);

}  // namespace wordcount
