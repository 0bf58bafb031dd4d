// Where something was started or made. std's class where the library has it, ours elsewhere; `site` is the
// plain form that crosses into compiled code, so that both kinds of caller link with one library.
#pragma once

#include <runnel/base/abi.hpp>

#include <version>
#if defined(__cpp_lib_source_location)
#include <source_location>
#endif

namespace runnel::inline RUNNEL_ABI {

#if defined(__cpp_lib_source_location)
using source_location = std::source_location;
#else
class source_location {
 public:
  static constexpr source_location current(const char* file = __builtin_FILE(),
                                           const char* function = __builtin_FUNCTION(),
                                           unsigned line = __builtin_LINE()) noexcept {
    source_location here;
    here.file_ = file;
    here.function_ = function;
    here.line_ = line;
    return here;
  }
  constexpr const char* file_name() const noexcept { return file_; }
  constexpr const char* function_name() const noexcept { return function_; }
  constexpr unsigned line() const noexcept { return line_; }

 private:
  const char* file_ = "";
  const char* function_ = "";
  unsigned line_ = 0;
};
#endif

namespace detail {

struct site {
  const char* file = "";
  const char* function = "";
  unsigned line = 0;

  constexpr site() noexcept = default;
  constexpr site(const source_location& at) noexcept
      : file(at.file_name()), function(at.function_name()), line(at.line()) {}
};

}  // namespace detail
}  // namespace runnel::inline RUNNEL_ABI
