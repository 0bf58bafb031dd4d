// Reading one file, chunk by chunk.
//
// The protocol between reading and counting: a file is a sequence of chunks, of which the last one
// says so. A sequence that ends without it was unreadable or abandoned, and the file does not
// count.
#pragma once

#include "open_path.hpp"
#include "problem_log.hpp"
#include "walk.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace wordcount {

struct chunk {
  std::unique_ptr<char[]> data;
  std::size_t size = 0;
  bool first = false;
  bool last = false;

  std::string_view text() const noexcept { return {data.get(), size}; }
};

/// Opened by the first next(), so that one blocking call reads a small file. It ends where it ended
/// when it was opened (a file that somebody keeps appending to has an end, too) or earlier, should
/// it shrink; one that tells no size, as those of /proc, ends where reading says so.
class input_file {
 public:
  /// A failure goes to `log`, which outlives the file.
  input_file(found_file file, problem_log& log) : file_(std::move(file)), log_(log) {}

  /// Whether next() has given the last chunk, or nothing.
  bool done() const noexcept { return done_; }
  /// The next chunk, at most 256 KiB. Nothing: the file cannot be read, or is no regular file any
  /// more.
  std::optional<chunk> next();

 private:
  bool open();

  found_file file_;
  problem_log& log_;
  descriptor fd_;
  bool done_ = false;
  bool at_start_ = true;
  std::uint64_t remaining_ = 0;
};

}  // namespace wordcount
