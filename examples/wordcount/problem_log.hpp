// What could not be read: named on stderr at once, and remembered for the exit code.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <string_view>

namespace wordcount {

/// `text` between quotes, its control characters escaped: a name may hold any byte, a line of
/// errors may not.
std::string quoted(std::string_view text);

/// Any thread, any fiber.
class problem_log {
 public:
  /// `error` is an errno.
  void add(std::string_view path, int error);
  void add(std::string_view path, std::string_view reason);
  bool empty() const noexcept {
    return count_.load(std::memory_order_relaxed) == 0;
  }  // asked after the join

 private:
  std::atomic<std::size_t> count_{0};
};

}  // namespace wordcount
