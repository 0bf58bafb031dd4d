// Counting one file, whoever delivers its chunks: a file that was read by the same thread, or a
// channel.
#pragma once

#include "input_file.hpp"
#include "progress_line.hpp"
#include "tally.hpp"

#include <optional>

namespace wordcount {

/// `next` gives the file's chunks, until the last one or an empty optional. A file that ends early,
/// also by an exception of `next`, does not count at all: what does not fit into one chunk is
/// counted apart.
template <class NextChunk>
void count_file(NextChunk&& next, tally& total, progress_line& progress) {
  tally apart;
  while (const std::optional<chunk> c = next()) {
    progress.add_bytes(c->size);
    const bool whole = c->first && c->last;
    tally& file = whole ? total : apart;
    file.feed(c->text());
    if (!c->last) continue;
    file.end_file();
    if (!whole) total.merge(apart);
    return progress.add_file();
  }
}

}  // namespace wordcount
