// One task sleeps longer than the other: time orders nothing.
#include <runnel/runnel.hpp>

int main() {
  using namespace std::chrono_literals;
  return runnel::run({.workers = 1}, [] {
    int shared = 0;
    runnel::with_task_group([&](runnel::task_group& g) {
      g.go([&] {
        runnel::sleep_for(1ms);
        ++shared;
      });
      g.go([&] {
        runnel::sleep_for(20ms);
        ++shared;
      });
    });
  });
}
