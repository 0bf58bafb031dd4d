// Signals: as values in a channel, and as the end of run().
#include <runnel/runnel.hpp>

#include <csignal>
#include <cstdio>

#include <unistd.h>

using namespace std::chrono_literals;

namespace {

/// To the process: raise() would send it to this worker's thread, which takes no signals.
void send_to_self(int signo) { ::kill(::getpid(), signo); }

}  // namespace

int main() {
  runnel::run([] {
    const runnel::signal_channel reload(SIGHUP, SIGUSR1);
    send_to_self(SIGHUP);
    runnel::select(runnel::on_receive(reload,
                                      [](std::optional<int> signo) {
                                        std::printf("reload: %s\n",
                                                    *signo == SIGHUP ? "SIGHUP" : "SIGUSR1");
                                      }),
                   runnel::on_timeout(1h));
  });

  const int code = runnel::run({.signals = {SIGINT, SIGTERM}}, [] {
    send_to_self(SIGTERM);
    runnel::sleep_for(1h);  // cancelled by the signal
  });
  std::printf("exit code: 128 + SIGTERM: %s\n", code == 128 + SIGTERM ? "yes" : "no");
}
