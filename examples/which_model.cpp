// Ways to divide a program: fork-join, channels, an owner that is asked, a limit.
#include <runnel/runnel.hpp>

#include <array>
#include <atomic>
#include <cstdio>
#include <numeric>
#include <span>
#include <vector>

namespace {

/// Each part counts in what is its own; the sums meet once, at the join.
long fork_join(const std::vector<int>& numbers) {
  std::array<runnel::task<long>, 4> parts;
  const std::size_t length = numbers.size() / parts.size();
  for (std::size_t i = 0; i < parts.size(); ++i)
    parts[i] = runnel::go([part = std::span(numbers).subspan(i * length, length)] {
      return std::accumulate(part.begin(), part.end(), 0L);
    });
  long sum = 0;
  for (auto& part : parts) sum += part.get();
  return sum;
}

/// Stages with a queue between them: the slower one slows the faster one down.
long pipeline(int count) {
  auto numbers = runnel::make_channel<int>(8);
  auto squares = runnel::make_channel<long>(8);
  long sum = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    group.go([tx = std::move(numbers.tx), count] {
      for (int i = 1; i <= count; ++i) tx.send(i);
    });
    group.go([rx = std::move(numbers.rx), tx = std::move(squares.tx)] {
      for (int v : rx) tx.send(long{v} * v);
    });
    for (long v : squares.rx) sum += v;
  });
  return sum;
}

/// The account belongs to one fiber; the others ask it.
struct withdrawal {
  int amount;
  runnel::send_channel<bool> answer;
};

int actor() {
  auto requests = runnel::make_channel<withdrawal>();
  int granted = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    group.go([rx = std::move(requests.rx)] {
      int balance = 100;  // nobody else can reach it
      for (withdrawal& w : rx) {
        const bool enough = balance >= w.amount;
        if (enough) balance -= w.amount;
        w.answer.send(enough);
      }
    });
    for (int i = 0; i < 5; ++i) {
      auto answer = runnel::make_channel<bool>(1);
      requests.tx.send({30, std::move(answer.tx)});
      if (answer.rx.receive().value()) ++granted;
    }
    requests.tx = {};  // nobody asks any more
  });
  return granted;
}

/// Three at a time: how often there were more.
int at_most_three(int jobs) {
  std::atomic<int> running{0}, exceeded{0};
  runnel::with_task_group({.limit = 3}, [&](runnel::task_group& group) {
    for (int i = 0; i < jobs; ++i)
      group.go([&] {
        if (++running > 3) ++exceeded;
        runnel::yield();
        --running;
      });
  });
  return exceeded;
}

}  // namespace

int main() {
  return runnel::run({.workers = 1}, [] {
    std::vector<int> numbers(1000);
    std::iota(numbers.begin(), numbers.end(), 1);
    std::printf("fork-join: %ld\n", fork_join(numbers));
    std::printf("pipeline: %ld\n", pipeline(100));
    std::printf("actor: %d of 5 granted\n", actor());
    std::printf("limit: exceeded %d times\n", at_most_three(20));
  });
}
