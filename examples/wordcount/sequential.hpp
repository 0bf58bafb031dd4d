// The same count as one plain loop on one thread, without the runtime: what the pipeline is
// measured against.
#pragma once

#include "args.hpp"
#include "exit_code.hpp"
#include "problem_log.hpp"
#include "progress_line.hpp"
#include "tally.hpp"

namespace wordcount {

/// Returns an exit code.
int count_sequentially(const options& wanted, tally& total, problem_log& log,
                       progress_line& progress);

}  // namespace wordcount
