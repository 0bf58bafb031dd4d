// Queues without locks: a log that nobody waits for, buffers that are used again, samples of a real-time thread.
#include <runnel/lockfree/mpmc_queue.hpp>
#include <runnel/lockfree/mpsc_queue.hpp>
#include <runnel/lockfree/spsc_queue.hpp>
#include <runnel/runnel.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace {

// Whoever logs goes on at once, whatever the collector does; nothing is lost.
void log_collector() {
  runnel::lockfree::mpsc_queue<std::string> log;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 3; ++i)
      group.go([&, i] {
        for (int k = 0; k < 100; ++k) log.push("request " + std::to_string(100 * i + k));
      });
  });
  std::size_t lines = 0, bytes = 0;
  while (const auto line = log.try_pop()) {
    ++lines;
    bytes += line->size() + 1;
  }
  std::printf("%zu lines, %zu bytes\n", lines, bytes);
}

using buffer = std::unique_ptr<std::vector<char>>;

// A bounded free list: who finds it empty makes another, what finds it full is destroyed.
void free_list() {
  runnel::lockfree::mpmc_queue<buffer> spare(4);
  int made = 0;
  for (int i = 0; i < 1'000; ++i) {
    buffer b;
    if (!spare.try_pop(b)) {
      ++made;
      b = std::make_unique<std::vector<char>>(4096);
    }
    (*b)[0] = 'x';
    static_cast<void>(spare.try_push(std::move(b)));  // refused: b still has it, and destroys it here
  }
  std::printf("buffers made: %d\n", made);
}

// One thread writes samples and may never wait; the other takes what there is, in batches.
void samples() {
  runnel::lockfree::spsc_queue<int> queue(64);
  int dropped = 0;
  for (int i = 1; i <= 100; ++i)
    if (!queue.try_push(i)) ++dropped;
  std::vector<int> batch(40);
  std::size_t taken = 0;
  while (const std::size_t n = queue.try_pop_n(batch)) taken += n;
  std::printf("%zu samples, %d dropped\n", taken, dropped);
}

// Where somebody should wait, a channel: its fibers park.
void waiting() {
  auto [tx, rx] = runnel::make_channel<int>(16);
  auto sum = runnel::go([rx = rx] {
    int s = 0;
    for (const int v : rx) s += v;  // costs nothing while there is nothing
    return s;
  });
  for (int i = 1; i <= 10; ++i) tx.send(i);
  tx.close();
  std::printf("sum: %d\n", sum.get());
}

}  // namespace

int main() {
  return runnel::run({.workers = 1}, [] {
    log_collector();
    free_list();
    samples();
    waiting();
  });
}
