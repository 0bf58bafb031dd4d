#include "problem_log.hpp"

#include "progress_line.hpp"

#include <cstdio>
#include <system_error>

namespace wordcount {

std::string quoted(std::string_view text) {
  constexpr const char* digits = "0123456789abcdef";
  std::string result = "'";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n')
      result += "\\n";
    else if (byte < 0x20 || byte == 0x7f)
      result.append("\\x").append(1, digits[byte / 16]).append(1, digits[byte % 16]);
    else
      result += c;
  }
  return result += '\'';
}

void problem_log::add(std::string_view path, int error) {
  add(path, std::generic_category().message(error));
}

void problem_log::add(std::string_view path, std::string_view reason) {
  count_.fetch_add(1, std::memory_order_relaxed);  // a counter, read after the join
  std::fprintf(stderr, "%swordcount: cannot read %s: %s\n", progress_line::eraser(),
               quoted(path).c_str(), std::string(reason).c_str());
}

}  // namespace wordcount
