#include "args.hpp"

#include "problem_log.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string_view>
#include <system_error>
#include <thread>

namespace wordcount {

const char* const usage =
    "usage: wordcount [--jobs N] [--top K] [--timeout D] [--rate R] [--sequential] [--] PATH...\n"
    "\n"
    "Counts the words (runs of A-Z a-z 0-9 _) of the files at and below every PATH and prints the "
    "most\n"
    "frequent ones, one '<count> <word>' a line: highest count first, equal counts in byte order.\n"
    "\n"
    "  --jobs N      counting workers, 1 to 1024 (default: one for each processor)\n"
    "  --top K       words to print, at least 1 (default: 10)\n"
    "  --timeout D   stop after D and print what was counted so far; D is a whole number and a "
    "unit:\n"
    "                us, ms, s, m or h, as in 500ms or 2s\n"
    "  --rate R      open at most R files a second, 1 to 1000000, to leave something of the disk "
    "to\n"
    "                others (default: no limit)\n"
    "  --sequential  one plain loop on one thread, without the runnel runtime\n"
    "  --help        print this text\n"
    "\n"
    "Symbolic links are followed where they are given as PATH, not where they are met below one; "
    "only\n"
    "regular files are counted. Ctrl-C stops as --timeout does; a second Ctrl-C kills.\n"
    "\n"
    "exit status: 0 all counted; 1 a file or directory could not be read (each is named, the rest "
    "is\n"
    "counted); 2 wrong usage or a PATH that does not exist; 124 time-out; 130 Ctrl-C\n";

namespace {

constexpr std::size_t max_jobs = 1024;
constexpr std::size_t max_rate = 1'000'000;

std::size_t parse_count(std::string_view option, std::string_view text, std::size_t most) {
  std::size_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, count);
  if (error == std::errc{} && rest == end && count >= 1 && count <= most) return count;
  throw usage_error(std::string(option) + ": " + quoted(text) +
                    " is not a whole number from 1 to " + std::to_string(most) +
                    "; write for example " + std::string(option) + " 4");
}

struct unit {
  std::string_view name;
  std::int64_t nanoseconds;
};
constexpr std::array<unit, 5> units{{{"us", 1'000},
                                     {"ms", 1'000'000},
                                     {"s", 1'000'000'000},
                                     {"m", 60'000'000'000},
                                     {"h", 3'600'000'000'000}}};

std::chrono::nanoseconds parse_duration(std::string_view option, std::string_view text) {
  constexpr std::int64_t most = 1'000'000 * units.back().nanoseconds;
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string_view name(rest, static_cast<std::size_t>(end - rest));
  const auto found =
      std::find_if(units.begin(), units.end(), [&](const unit& u) { return u.name == name; });
  if (error == std::errc{} && number >= 0 && found != units.end() &&
      number <= most / found->nanoseconds)
    return std::chrono::nanoseconds(number * found->nanoseconds);
  throw usage_error(std::string(option) + ": " + quoted(text) +
                    " is not a duration from 0s to 1000000h; write a " +
                    "whole number and one of us, ms, s, m, h, for example " + std::string(option) +
                    " 500ms");
}

/// Hands out the arguments one by one; an option's value is what follows '=' or the next argument.
class argument_list {
 public:
  explicit argument_list(std::span<char* const> args) : rest_(args) {}
  bool empty() const { return rest_.empty(); }
  std::string_view next() {
    const std::string_view first = rest_.front();
    rest_ = rest_.subspan(1);
    return first;
  }
  std::string_view value_of(std::string_view option, std::optional<std::string_view> after_equals,
                            std::string_view example) {
    if (after_equals) return *after_equals;
    if (!empty()) return next();
    throw usage_error(std::string(option) + " needs a value; write for example " +
                      std::string(option) + " " + std::string(example));
  }

 private:
  std::span<char* const> rest_;
};

void refuse_value(std::string_view option, std::optional<std::string_view> value) {
  if (value)
    throw usage_error(std::string(option) + " takes no value, but was given " + quoted(*value));
}

void parse_option(std::string_view argument, argument_list& rest, options& o) {
  const std::size_t equals = argument.find('=');
  const std::string_view name = argument.substr(0, equals);
  std::optional<std::string_view> value;
  if (equals != std::string_view::npos) value = argument.substr(equals + 1);

  if (name == "--jobs") {
    o.jobs = parse_count(name, rest.value_of(name, value, "4"), max_jobs);
  } else if (name == "--top") {
    o.top = parse_count(name, rest.value_of(name, value, "10"),
                        std::numeric_limits<std::size_t>::max());
  } else if (name == "--timeout") {
    o.timeout = parse_duration(name, rest.value_of(name, value, "500ms"));
  } else if (name == "--rate") {
    o.rate = parse_count(name, rest.value_of(name, value, "100"), max_rate);
  } else if (name == "--sequential") {
    refuse_value(name, value);
    o.sequential = true;
  } else if (name == "--help") {
    refuse_value(name, value);
    o.help = true;
  } else {
    throw usage_error("unknown option " + quoted(argument) +
                      "; the options are --jobs, --top, --timeout, --rate, --sequential and --help "
                      "(a PATH that starts with '-' goes after --)");
  }
}

void require_pipeline(const options& o) {
  if (o.sequential && o.rate)
    throw usage_error(
        "--rate paces the pipeline, and --sequential has none; leave one of them out");
}

void require_existing(const std::vector<std::string>& paths) {
  if (paths.empty())
    throw usage_error("no PATH given; name the files or directories to count, for example '.'");
  for (const std::string& path : paths) {
    struct stat unused {};
    if (::stat(path.c_str(), &unused) == 0 || (errno != ENOENT && errno != ENOTDIR)) continue;
    throw usage_error("PATH " + quoted(path) + ": " + std::generic_category().message(errno) +
                      "; give the path of an existing file or directory");
  }
}

}  // namespace

options parse_args(std::span<char* const> args) {
  options o;
  o.jobs = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, max_jobs);
  argument_list rest(args);
  bool only_paths = false;
  while (!rest.empty()) {
    const std::string_view argument = rest.next();
    if (only_paths || argument.size() < 2 || argument.front() != '-')
      o.paths.emplace_back(argument);
    else if (argument == "--")
      only_paths = true;
    else
      parse_option(argument, rest, o);
  }
  if (o.help) return o;
  require_pipeline(o);
  require_existing(o.paths);
  return o;
}

}  // namespace wordcount
