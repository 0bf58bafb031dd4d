#include "sequential.hpp"

#include "count_file.hpp"
#include "input_file.hpp"
#include "walk.hpp"

#include <chrono>
#include <csignal>
#include <optional>

namespace wordcount {
namespace {

volatile std::sig_atomic_t interrupt_seen = 0;

extern "C" void on_interrupt(int) { interrupt_seen = 1; }

/// The first Ctrl-C sets the flag, the second one kills.
void watch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  ::sigaction(SIGINT, &action, nullptr);
}

struct stopped {
  int exit_code;
};

/// What the runtime does for every fiber, by hand: asked wherever the count may stop.
class stop_watch {
 public:
  explicit stop_watch(std::optional<std::chrono::nanoseconds> timeout) {
    if (timeout) deadline_ = std::chrono::steady_clock::now() + *timeout;
    watch_interrupts();
  }
  /// Throws `stopped` when the count is to stop.
  void check() const {
    if (interrupt_seen != 0) throw stopped{exit_code::interrupted};
    if (deadline_ && std::chrono::steady_clock::now() >= *deadline_)
      throw stopped{exit_code::timed_out};
  }

 private:
  std::optional<std::chrono::steady_clock::time_point> deadline_;
};

}  // namespace

int count_sequentially(const options& wanted, tally& total, problem_log& log,
                       progress_line& progress) try {
  const stop_watch stop(wanted.timeout);
  walk tree(wanted.paths, log);
  while (!tree.done()) {
    stop.check();
    for (found_file& found : tree.step()) {
      input_file file(std::move(found), log);
      count_file(
          [&] {
            stop.check();
            progress.show_when_due();
            return file.next();
          },
          total, progress);
    }
  }
  return exit_code::complete;
} catch (const stopped& why) {
  return why.exit_code;
}

}  // namespace wordcount
