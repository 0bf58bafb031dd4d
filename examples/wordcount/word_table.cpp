#include "word_table.hpp"

#include <algorithm>
#include <utility>

namespace wordcount {
namespace {

constexpr std::size_t first_size = 64;

}  // namespace

void word_table::add(const word_table& other) {
  other.for_each([this](const entry& seen) { add(seen); });
}

void word_table::add(const entry& seen) {
  if (2 * used_ >= slots_.size()) grow();
  entry& slot = slot_of(seen.word, seen.hash);
  if (slot.count == 0) {
    auto* const bytes = static_cast<char*>(arena_.allocate(seen.word.size(), 1));
    std::copy(seen.word.begin(), seen.word.end(), bytes);
    slot = {{bytes, seen.word.size()}, seen.hash, 0};
    ++used_;
  }
  slot.count += seen.count;
}

word_table::entry& word_table::slot_of(std::string_view word, std::size_t hash) noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t i = hash & mask;
  while (slots_[i].count != 0 && (slots_[i].hash != hash || slots_[i].word != word))
    i = (i + 1) & mask;
  return slots_[i];
}

void word_table::grow() {
  std::vector<entry> old(std::max(first_size, 2 * slots_.size()));
  old.swap(slots_);
  const std::size_t mask = slots_.size() - 1;
  for (const entry& e : old) {
    if (e.count == 0) continue;
    std::size_t i = e.hash & mask;
    while (slots_[i].count != 0) i = (i + 1) & mask;
    slots_[i] = e;
  }
}

}  // namespace wordcount
