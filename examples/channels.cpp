// Channels: values that change hands, and ends that close by themselves.
#include <runnel/runnel.hpp>

#include <cstdio>
#include <memory>
#include <string>

using namespace std::chrono_literals;

namespace {

void producer_and_consumer() {
  auto [tx, rx] = runnel::make_channel<std::unique_ptr<std::string>>(16);
  auto producer = runnel::go([tx = std::move(tx)] {
    for (const char* word : {"one", "two", "three"}) tx.send(std::make_unique<std::string>(word));
  });  // the only sender ends with its task
  for (auto& word : rx) std::printf("received %s\n", word->c_str());
  producer.get();
}

void nobody_receives() {
  auto ends = runnel::make_channel<int>();
  ends.rx = {};  // the last receiver is gone
  try {
    ends.tx.send(1);
  } catch (const runnel::channel_closed& e) {
    std::printf("%s\n", e.what());
  }
}

void without_waiting() {
  auto [tx, rx] = runnel::make_channel<int>(1);
  const bool sent = tx.try_send(1) == runnel::channel_status::ok;
  const bool full = tx.try_send(2) == runnel::channel_status::would_block;
  const bool late = tx.send_for(3, 1ms) == runnel::channel_status::timed_out;
  std::printf("sent %d, full %d, timed out %d\n", sent, full, late);
  if (auto r = rx.try_receive()) std::printf("received %d\n", r.value.value());
  std::printf("empty %d\n", rx.try_receive().status == runnel::channel_status::would_block);
}

void both_ends_in_one() {
  const runnel::channel<int> numbers(4);  // as in Go: closed by hand
  for (int i = 1; i <= 3; ++i) numbers.send(i);
  numbers.close();
  int sum = 0;
  for (int n : numbers) sum += n;  // drains what was buffered
  std::printf("sum %d, then closed: %s\n", sum, numbers.receive() ? "no" : "yes");
}

void several_workers() {
  auto jobs = runnel::make_channel<int>();
  auto results = runnel::make_channel<int>();
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 3; ++i)
      group.go([in = jobs.rx, out = results.tx] {
        for (int n : in) out.send(n * n);
      });
    results.tx = {};  // now only the workers have it
    group.go([tx = std::move(jobs.tx)] {
      for (int n = 1; n <= 10; ++n) tx.send(n);
    });
    int sum = 0;
    for (int square : results.rx) sum += square;
    std::printf("sum of squares %d\n", sum);
  });
}

void one_to_one() {
  auto [tx, rx] = runnel::make_channel<int, runnel::spsc>(64);  // one sender, one receiver
  auto producer = runnel::go([tx = std::move(tx)] {
    int block[25];
    for (int n = 1; n <= 100; n += 25) {
      for (int i = 0; i < 25; ++i) block[i] = n + i;
      tx.send_n(block);
    }
  });
  int sum = 0;
  for (int n : rx) sum += n;
  std::printf("sum of a hundred %d\n", sum);
  producer.get();
}

void only_a_signal() {
  auto [tx, rx] = runnel::make_channel<runnel::unit>();
  auto worker = runnel::go([tx = std::move(tx)] { tx.send({}); });
  if (rx.receive()) std::puts("signalled");
}

}  // namespace

int main() {
  return runnel::run([] {
    producer_and_consumer();
    nobody_receives();
    without_waiting();
    both_ends_in_one();
    several_workers();
    one_to_one();
    only_a_signal();
  });
}
