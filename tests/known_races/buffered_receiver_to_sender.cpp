// A receive from a buffer with room left does not order what the receiver did before the next send.
#include <runnel/runnel.hpp>

int main() {
  return runnel::run({.workers = 2}, [] {
    int shared = 0;
    runnel::channel<int> c(8);
    auto receiver = runnel::go([&] {
      ++shared;
      c.receive();
    });
    c.send(1);
    c.send(2);
    ++shared;
    receiver.get();
  });
}
