// A call on the blocking pool and another task touch one variable.
#include <runnel/runnel.hpp>

int main() {
  return runnel::run({.workers = 1}, [] {
    int shared = 0;
    runnel::with_task_group([&](runnel::task_group& g) {
      g.go([&] { runnel::blocking([&] { ++shared; }); });
      g.go([&] { ++shared; });
    });
  });
}
