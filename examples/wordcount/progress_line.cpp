#include "progress_line.hpp"

#include <unistd.h>

#include <cstdio>

namespace wordcount {

progress_line::~progress_line() { std::fputs(eraser(), stderr); }

bool progress_line::visible() noexcept {
  static const bool terminal = ::isatty(STDERR_FILENO) == 1;
  return terminal;
}

const char* progress_line::eraser() noexcept { return visible() ? "\r\x1b[K" : ""; }

void progress_line::show() const {
  if (!visible()) return;
  std::fprintf(stderr, "%swordcount: files %zu bytes %zu", eraser(),
               files_.load(std::memory_order_relaxed), bytes_.load(std::memory_order_relaxed));
}

void progress_line::show_when_due() {
  if (!visible()) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < due_) return;
  due_ = now + interval;
  show();
}

}  // namespace wordcount
