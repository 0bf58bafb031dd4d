// The result: the most frequent words and the totals.
#pragma once

#include "tally.hpp"

#include <chrono>
#include <cstddef>

namespace wordcount {

/// The k most frequent words on stdout, then the totals on stderr. False when stdout does not take
/// the words: said on stderr.
bool print_result(const tally& total, std::size_t k, std::chrono::duration<double> elapsed);

}  // namespace wordcount
