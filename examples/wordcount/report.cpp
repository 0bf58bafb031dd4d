#include "report.hpp"

#include <cerrno>
#include <cstdio>
#include <system_error>

namespace wordcount {
namespace {

bool print_words(const tally& total, std::size_t k) {
  for (const auto& [word, count] : total.top(k)) {
    std::printf("%zu ", count);
    std::fwrite(word.data(), 1, word.size(), stdout);
    if (std::putchar('\n') == EOF) return false;
  }
  return std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
}

}  // namespace

bool print_result(const tally& total, std::size_t k, std::chrono::duration<double> elapsed) {
  const bool written = print_words(total, k);
  if (!written)
    std::fprintf(stderr, "wordcount: cannot write the result: %s\n",
                 std::generic_category().message(errno).c_str());
  std::fprintf(stderr, "wordcount: files=%zu bytes=%zu words=%zu distinct=%zu seconds=%.3f\n",
               total.files(), total.bytes(), total.words(), total.distinct(), elapsed.count());
  return written;
}

}  // namespace wordcount
