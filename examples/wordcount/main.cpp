// Counts the words of files and directory trees: the main job of the examples, on runnel's public
// API alone.
//
//            found_file          document                tally
//   walk  ─────────────▶  read  ──────────▶  count  ─────────────▶  merge
//   one fiber             some fibers        --jobs fibers          once all have ended, by shards
//
// A document is itself a channel: the chunks of one file. Every channel is bounded, so whoever is
// faster waits, and memory grows with the number of different words only.
//
// The end: a channel closes with its last sender, which goes with the last fiber of the stage
// before, so each stage ends after the one that feeds it. Time-out and Ctrl-C: they cancel the
// context that all stages run under; each ends at its next blocking call. What was counted by then
// is kept, because the tallies belong to main and not to the fibers.
#include "args.hpp"
#include "count_file.hpp"
#include "input_file.hpp"
#include "report.hpp"
#include "sequential.hpp"
#include "walk.hpp"

#include <runnel/channel.hpp>
#include <runnel/context.hpp>
#include <runnel/go.hpp>
#include <runnel/patterns/rate_limiter.hpp>
#include <runnel/runtime.hpp>
#include <runnel/task_group.hpp>
#include <runnel/time.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <vector>

namespace wordcount {
namespace {

using document = runnel::receive_channel<chunk>;

constexpr std::size_t readers = 8;        // files open at a time
constexpr std::size_t files_ahead = 256;  // found, not yet opened
constexpr std::size_t chunks_ahead = 2;   // of each open file, not yet counted

void walk_trees(const std::vector<std::string>& paths,
                const runnel::send_channel<found_file>& files, problem_log& log) {
  walk trees(paths, log);
  while (!trees.done())
    for (found_file& file : runnel::blocking([&] { return trees.step(); }))
      files.send(std::move(file));
}

void read_files(const runnel::receive_channel<found_file>& files,
                const runnel::send_channel<document>& documents, runnel::rate_limiter& pace,
                problem_log& log) {
  for (found_file& found : files) {
    pace.wait();
    const auto [chunks, contents] = runnel::make_channel<chunk>(chunks_ahead);
    documents.send(contents);
    input_file file(std::move(found), log);
    while (!file.done())
      if (std::optional<chunk> c = runnel::blocking([&] { return file.next(); }))
        chunks.send(std::move(*c));
  }
}

void count_documents(const runnel::receive_channel<document>& documents, tally& counted,
                     progress_line& progress) {
  for (document& contents : documents)
    count_file([&] { return contents.receive(); }, counted, progress);
}

void run_pipeline(const options& wanted, std::vector<tally>& tallies, problem_log& log,
                  progress_line& progress) {
  // The receiving ends stay here until all have ended: when a cancellation ends the stages, in any
  // order, no sender finds its receivers gone before it is cancelled itself.
  auto files = runnel::make_channel<found_file>(files_ahead);
  auto documents = runnel::make_channel<document>(readers);
  runnel::rate_limiter pace(wanted.rate
                                ? runnel::rate::per_second(static_cast<double>(*wanted.rate))
                                : runnel::rate::unlimited(),
                            1);

  runnel::with_task_group([&](runnel::task_group& stages) {
    stages.go([&, out = std::move(files.tx)] { walk_trees(wanted.paths, out, log); });
    for (std::size_t i = 0; i < readers; ++i)
      stages.go([&, in = files.rx, out = documents.tx] { read_files(in, out, pace, log); });
    documents.tx = {};  // now only the readers have it
    for (tally& mine : tallies)
      stages.go([&, in = documents.rx] { count_documents(in, mine, progress); });
  });
}

void show_progress(const progress_line& progress) {
  if (!progress_line::visible()) return;
  for (runnel::ticker ticks(progress_line::interval);; ticks.receive()) progress.show();
}

/// Into the first one; every shard of the words is a task of its own.
void merge(std::vector<tally>& tallies) {
  tally& total = tallies.front();
  const auto others = std::span(tallies).subspan(1);
  runnel::with_task_group([&](runnel::task_group& shards) {
    for (std::size_t shard = 0; shard < tally::shards; ++shard)
      shards.go([&, shard] {
        for (const tally& other : others) total.merge_words(other, shard);
      });
  });
  for (const tally& other : others) total.merge_sums(other);
}

/// Leaves the result in the first tally; returns an exit code.
int count_in_pipeline(const options& wanted, std::vector<tally>& tallies, problem_log& log,
                      progress_line& progress) {
  const auto count = [&] {
    const auto shown = runnel::go([&] { show_progress(progress); });  // ends with the scope
    run_pipeline(wanted, tallies, log, progress);
  };
  return runnel::run({.signals = {SIGINT}}, [&] {
    int code = exit_code::complete;
    try {
      if (wanted.timeout)
        runnel::with_timeout(*wanted.timeout, count);
      else
        count();
    } catch (const runnel::canceled&) {
      const bool by_signal = runnel::context::current().is_canceled();  // else only the time limit
      code = by_signal ? exit_code::interrupted : exit_code::timed_out;
    }
    const runnel::cancel_shield shield;  // what was counted is merged all the same
    merge(tallies);
    return code;
  });
}

int count_and_print(const options& wanted) {
  const auto start = std::chrono::steady_clock::now();
  problem_log log;
  std::vector<tally> tallies(wanted.sequential ? 1 : wanted.jobs);
  const int code = [&] {
    progress_line progress;
    return wanted.sequential ? count_sequentially(wanted, tallies.front(), log, progress)
                             : count_in_pipeline(wanted, tallies, log, progress);
  }();
  const auto elapsed = std::chrono::steady_clock::now() - start;
  const bool printed = print_result(tallies.front(), wanted.top, elapsed);
  if (code != exit_code::complete) return code;
  return log.empty() && printed ? exit_code::complete : exit_code::incomplete;
}

int print_usage() {
  const bool printed = std::fputs(usage, stdout) >= 0 && std::fflush(stdout) == 0;
  return printed ? exit_code::complete : exit_code::incomplete;
}

}  // namespace
}  // namespace wordcount

int main(int argc, char** argv) {
  using namespace wordcount;
  try {
    const options wanted = parse_args({argv + 1, argv + argc});
    return wanted.help ? print_usage() : count_and_print(wanted);
  } catch (const usage_error& error) {
    std::fprintf(stderr, "wordcount: %s\n", error.what());
    return exit_code::wrong_usage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "wordcount: gave up: %s\n", error.what());
    return exit_code::incomplete;
  }
}
