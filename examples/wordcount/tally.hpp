// Counting: the words of the files fed so far, and how many files, bytes and words that were.
#pragma once

#include "word_table.hpp"

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wordcount {

/// Not shared: every worker has its own tally (alone on its cache lines), and the tallies are
/// merged once the workers are done.
class alignas(64) tally {
 public:
  static constexpr std::size_t shards = 16;
  using line = std::pair<std::string_view, std::size_t>;

  /// The next bytes of a file; a word may reach from one call into the next.
  void feed(std::string_view text);
  /// No word reaches from one file into the next.
  void end_file();
  void merge(const tally& other);
  /// The same in parts, which may be merged at the same time: each shard of the words, and the
  /// sums.
  void merge_words(const tally& other, std::size_t shard) {
    words_[shard].add(other.words_[shard]);
  }
  void merge_sums(const tally& other) noexcept;

  /// The k most frequent words: count descending, then bytes ascending. Valid until the tally
  /// changes.
  std::vector<line> top(std::size_t k) const;

  std::size_t files() const noexcept { return files_; }
  std::size_t bytes() const noexcept { return bytes_; }
  std::size_t words() const noexcept { return word_count_; }
  std::size_t distinct() const noexcept;

 private:
  void add(std::string_view word);

  std::array<word_table, shards> words_;  // a word stands in the shard of its hash's upper bits
  std::string open_word_;  // what the last bytes ended with, when that was part of a word
  std::size_t files_ = 0;
  std::size_t bytes_ = 0;
  std::size_t word_count_ = 0;
};

}  // namespace wordcount
