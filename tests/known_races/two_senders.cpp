// Two senders write one variable before they send on the same channel: sends are not ordered among each other.
#include <runnel/runnel.hpp>

int main() {
  return runnel::run({.workers = 2}, [] {
    int shared = 0;
    runnel::channel<int> c(2);
    runnel::with_task_group([&](runnel::task_group& g) {
      for (int i = 0; i < 2; ++i)
        g.go([&, i] {
          ++shared;
          c.send(i);
        });
      c.receive();
      c.receive();
    });
  });
}
