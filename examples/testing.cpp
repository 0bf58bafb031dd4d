// Testing: a scope that must leave nothing behind, and a look at what is there.
#include <runnel/debug/dump_fibers.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/leak_check.hpp>

#include <cstdio>
#include <string>

using namespace std::chrono_literals;

namespace {

void a_test() {
  const runnel::leak_check nothing_left;  // the first line: around everything that is tested
  runnel::run([] {
    runnel::with_task_group([](runnel::task_group& group) {
      for (int i = 0; i < 100; ++i) group.go([] { runnel::yield(); });
    });
  });
  std::printf("left: \"%s\"\n", nothing_left.left().c_str());
}

void something_left_behind() {
  runnel::leak_check forgotten([](const std::string& report) {
    // The default prints the report and ends the process.
    std::printf("the report names the fiber: %s\n",
                report.find("\"forgotten\"") != std::string::npos ? "yes" : "no");
  });
  runnel::go_detached({.name = "forgotten"}, [] { runnel::sleep_for(1h); });
}

void what_is_everybody_doing() {
  auto [tx, rx] = runnel::make_channel<int>();
  auto patient = runnel::go({.name = "patient"}, [rx = rx] { rx.receive(); });
  std::string report;
  do {
    runnel::yield();
    report = runnel::fiber_report();  // dump_fibers() prints the same on stderr
  } while (report.find("\"patient\": parked in channel receive") == std::string::npos);
  std::puts("patient is parked in channel receive");
}

}  // namespace

int main() {
  a_test();
  return runnel::run([] {
    what_is_everybody_doing();
    something_left_behind();
  });
}
