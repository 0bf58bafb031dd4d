// What the program says with its exit code, the weightiest last.
#pragma once

namespace wordcount::exit_code {

inline constexpr int complete = 0;
inline constexpr int incomplete =
    1;  // a file or directory could not be read, or the result not be written
inline constexpr int timed_out = 124;
inline constexpr int interrupted = 130;
inline constexpr int wrong_usage = 2;

}  // namespace wordcount::exit_code
