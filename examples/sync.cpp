// A wait_group for what no task group owns.
#include <runnel/runnel.hpp>

#include <cstdio>
#include <mutex>

namespace {

void waiting_for_all() {
  runnel::wait_group in_flight;
  runnel::mutex m;
  int done = 0;
  for (int i = 0; i < 3; ++i)
    in_flight.go([&] {
      const std::scoped_lock lock(m);
      ++done;
    });
  in_flight.wait();
  std::printf("done: %d\n", done);
  try {
    in_flight.done();
  } catch (const runnel::misuse& e) {
    std::printf("%s\n", e.what());
  }
}

}  // namespace

int main() {
  return runnel::run([] {
    waiting_for_all();
  });
}
