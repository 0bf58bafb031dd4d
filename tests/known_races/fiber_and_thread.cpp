// A fiber and a plain thread, started before it, write to one variable.
#include <runnel/go.hpp>

#include <thread>

namespace {
int shared = 0;
}

int main() {
  return runnel::run([] {
    std::thread thread([] { ++shared; });
    auto fiber = runnel::go([] { ++shared; });
    fiber.get();
    thread.join();
  });
}
