#include "tally.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

namespace wordcount {
namespace {

constexpr auto is_word_byte = [] {
  std::array<bool, 256> table{};
  for (const char c :
       std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"))
    table[static_cast<unsigned char>(c)] = true;
  return table;
}();

/// Where the first byte stands that is a word byte, or is not. Plain loops: words are short, and
/// std::find_if's unrolling costs a third more.
const char* skip(const char* at, const char* end, bool word_bytes) {
  while (at != end && is_word_byte[static_cast<unsigned char>(*at)] == word_bytes) ++at;
  return at;
}

}  // namespace

void tally::feed(std::string_view text) {
  bytes_ += text.size();
  const char* at = text.data();
  const char* const end = at + text.size();
  if (!open_word_.empty()) {
    const char* const word_end = skip(at, end, true);
    open_word_.append(at, word_end);
    if (word_end == end) return;
    add(std::exchange(open_word_, {}));
    at = word_end;
  }
  for (;;) {
    at = skip(at, end, false);
    const char* const word_end = skip(at, end, true);
    if (word_end == end) break;
    add({at, static_cast<std::size_t>(word_end - at)});
    at = word_end;
  }
  open_word_.assign(at, end);
}

void tally::end_file() {
  if (!open_word_.empty()) add(std::exchange(open_word_, {}));
  ++files_;
}

void tally::add(std::string_view word) {
  constexpr int shard_shift = std::numeric_limits<std::size_t>::digits - std::countr_zero(shards);
  const std::size_t hash = word_table::hash_of(word);
  words_[hash >> shard_shift].add({word, hash, 1});
  ++word_count_;
}

void tally::merge(const tally& other) {
  for (std::size_t shard = 0; shard < shards; ++shard) merge_words(other, shard);
  merge_sums(other);
}

void tally::merge_sums(const tally& other) noexcept {
  files_ += other.files_;
  bytes_ += other.bytes_;
  word_count_ += other.word_count_;
}

std::size_t tally::distinct() const noexcept {
  std::size_t sum = 0;
  for (const word_table& shard : words_) sum += shard.size();
  return sum;
}

std::vector<tally::line> tally::top(std::size_t k) const {
  std::vector<line> lines;
  lines.reserve(distinct());
  for (const word_table& shard : words_)
    shard.for_each([&](const word_table::entry& e) { lines.emplace_back(e.word, e.count); });
  const auto more_frequent = [](const line& a, const line& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  };
  const auto wanted = lines.begin() + static_cast<std::ptrdiff_t>(std::min(k, lines.size()));
  std::partial_sort(lines.begin(), wanted, lines.end(), more_frequent);
  lines.erase(wanted, lines.end());
  return lines;
}

}  // namespace wordcount
