// The program of the README: one task sends, the body receives.
#include <runnel/runnel.hpp>

#include <cstdio>

int main() {
  return runnel::run([] {
    runnel::with_task_group([](runnel::task_group& group) {
      auto [tx, rx] = runnel::make_channel<int>();
      group.go([tx = std::move(tx)] {
        for (int i = 1; i <= 3; ++i) tx.send(i * i);
      });  // the last sender is gone: the channel closes itself
      for (int square : rx) std::printf("%d\n", square);
    });  // every task has ended; the first failure is thrown here
  });
}
