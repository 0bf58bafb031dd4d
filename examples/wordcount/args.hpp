// The command line: what was asked for, or an error that names the input and the remedy.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace wordcount {

struct options {
  std::size_t jobs = 1;
  std::size_t top = 10;
  std::optional<std::chrono::nanoseconds> timeout;
  std::optional<std::size_t> rate;  // files opened a second
  bool sequential = false;
  bool help = false;
  std::vector<std::string> paths;
};

/// The command line cannot be followed; the message names the input and what to write instead.
class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

extern const char* const usage;

/// `args` without the program's name. Every path exists, unless --help was asked for.
/// Throws usage_error.
options parse_args(std::span<char* const> args);

}  // namespace wordcount
