// Running: what run() returns and throws, its options, and what a deadlock looks like.
#include <runnel/runnel.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>

using namespace std::chrono_literals;

namespace {

void results() {
  std::printf("returned: %d\n", runnel::run([] { return 3; }));
  try {
    runnel::run([] { throw std::runtime_error("from the root"); });
  } catch (const std::runtime_error& e) {
    std::printf("thrown: %s\n", e.what());
  }
}

void width() {
  runnel::run({.workers = 3}, [] { std::printf("workers: %u\n", runnel::stats().workers); });
  std::printf("workers afterwards: %u\n", runnel::stats().workers);
}

void deadlock() {
  const runnel::run_options options{.on_deadlock = [](std::string_view report) {
    const bool named = report.find("\"main\": parked in channel receive") != std::string_view::npos;
    throw std::runtime_error(named ? "deadlock: main waits for a channel" : "deadlock");
  }};
  try {
    runnel::run(options, [] { runnel::channel<int>().receive(); });  // nobody can ever send
  } catch (const std::runtime_error& e) {
    std::printf("%s\n", e.what());
  }
}

void from_a_thread() {
  const runnel::channel<int> numbers;
  runnel::run([&] {
    std::thread outside([&] { numbers.send(11); });  // every operation works from a thread, too
    std::printf("from a thread: %d\n", numbers.receive().value());
    outside.join();  // at its end already; otherwise blocking()
  });
}

void end_of_detached() {
  runnel::run({.grace = 10s}, [] {
    runnel::go_detached([] {
      try {
        runnel::sleep_for(1h);
      } catch (const runnel::canceled&) {
        std::puts("detached: cancelled when the last run ended");
      }
    });
  });
}

}  // namespace

int main() {
  results();
  width();
  deadlock();
  from_a_thread();
  end_of_detached();
}
