// What the library reports on stderr, for tests of reports; and which build this is.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

namespace runnel::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#else
inline constexpr bool sanitized = false;
#endif

/// Descriptor 2 leads into a pipe until the end of the scope.
class captured_stderr {
 public:
  captured_stderr() {
    if (pipe2(ends_, O_NONBLOCK | O_CLOEXEC) != 0) std::abort();
    text_.reserve(1 << 16);  // else it would grow inside scopes that count allocations
    before_ = dup(STDERR_FILENO);
    dup2(ends_[1], STDERR_FILENO);
  }
  ~captured_stderr() {
    dup2(before_, STDERR_FILENO);
    close(before_);
    close(ends_[0]);
    close(ends_[1]);
  }
  captured_stderr(const captured_stderr&) = delete;
  captured_stderr& operator=(const captured_stderr&) = delete;

  /// Everything so far.
  const std::string& text() {
    char part[4096];
    for (ssize_t n; (n = read(ends_[0], part, sizeof part)) > 0;) text_.append(part, static_cast<std::size_t>(n));
    return text_;
  }
  /// Keeps the calling thread until `part` has come.
  const std::string& wait_for(std::string_view part) {
    while (text().find(part) == std::string::npos) {
      pollfd p{ends_[0], POLLIN, 0};
      poll(&p, 1, 1);
    }
    return text_;
  }
  std::size_t count(std::string_view part) {
    std::size_t n = 0;
    for (std::size_t at = text().find(part); at != std::string::npos; at = text_.find(part, at + part.size())) ++n;
    return n;
  }

 private:
  int ends_[2];
  int before_;
  std::string text_;
};

}  // namespace runnel::test
