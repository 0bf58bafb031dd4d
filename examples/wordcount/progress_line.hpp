// One line on stderr that tells how far the count is, rewritten in place; nothing unless stderr is
// a terminal.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>

namespace wordcount {

/// The counters are advanced from any thread or fiber; one shows them.
class progress_line {
 public:
  static constexpr std::chrono::milliseconds interval{100};

  progress_line() = default;
  /// Erases the line.
  ~progress_line();
  progress_line(const progress_line&) = delete;
  progress_line& operator=(const progress_line&) = delete;

  static bool visible() noexcept;
  /// To be written before anything else that goes to stderr meanwhile: empty when nothing is
  /// visible.
  static const char* eraser() noexcept;

  // Only shown, nothing depends on them: no order needed.
  void add_bytes(std::size_t n) noexcept { bytes_.fetch_add(n, std::memory_order_relaxed); }
  void add_file() noexcept { files_.fetch_add(1, std::memory_order_relaxed); }

  void show() const;
  /// For a plain loop: shows when an interval has passed.
  void show_when_due();

 private:
  std::atomic<std::size_t> files_{0};
  std::atomic<std::size_t> bytes_{0};
  std::chrono::steady_clock::time_point due_{};
};

}  // namespace wordcount
