// select: the first of several things, and exactly one of them.
#include <runnel/runnel.hpp>

#include <cstdio>
#include <optional>
#include <vector>

using namespace std::chrono_literals;

namespace {

void first_of_two() {
  auto words = runnel::make_channel<const char*>(1);
  auto numbers = runnel::make_channel<int>(1);
  numbers.tx.send(5);
  runnel::select(
      runnel::on_receive(words.rx,
                         [](std::optional<const char*> w) { std::printf("word %s\n", *w); }),
      runnel::on_receive(numbers.rx, [](std::optional<int> n) { std::printf("number %d\n", *n); }),
      runnel::on_timeout(1h, [] { std::puts("nothing came"); }));
}

void in_a_switch() {
  auto [tx, rx] = runnel::make_channel<int>();
  std::optional<int> value;
  switch (runnel::select(runnel::on_receive(rx, value), runnel::on_timeout(1ms))) {
    case 0:
      std::puts("received");
      break;
    case 1:
      std::puts("timed out");
      break;
  }
}

void without_waiting() {
  auto [tx, rx] = runnel::make_channel<int>();
  runnel::select(runnel::on_send(tx, 1, [] { std::puts("sent"); }),
                 runnel::otherwise([] { std::puts("nobody takes it now"); }));
}

/// Merges two streams; an input that has ended is switched off.
void merge() {
  auto a = runnel::make_channel<int>(3);
  auto b = runnel::make_channel<int>(3);
  for (int i = 1; i <= 3; ++i) a.tx.send(i), b.tx.send(10 * i);
  a.tx = {}, b.tx = {};
  int sum = 0;
  bool more_a = true, more_b = true;
  while (more_a || more_b)
    runnel::select(
        runnel::on_receive(
            a.rx, [&](std::optional<int> n) { n ? void(sum += *n) : void(more_a = false); })
            .when(more_a),
        runnel::on_receive(b.rx, [&](std::optional<int> n) {
          n ? void(sum += *n) : void(more_b = false);
        }).when(more_b));
  std::printf("merged sum %d\n", sum);
}

/// The number of cases is known at run time only.
void any_number() {
  std::vector<runnel::channel_pair<int>> inputs;
  for (int i = 0; i < 5; ++i) inputs.push_back(runnel::make_channel<int>(1));
  int received = 0;
  runnel::selector inbox;
  for (auto& input : inputs)
    inbox.add(runnel::on_receive(input.rx, [&](std::optional<int> n) { received += *n; }));
  for (int i = 0; i < 5; ++i) inputs[static_cast<std::size_t>(i)].tx.send(i);
  for (int i = 0; i < 5; ++i) inbox.run();
  std::printf("received from all: %d\n", received);
}

void end_of_a_task() {
  auto worker = runnel::go([] { return 3; });
  runnel::select(runnel::on_join(worker, [] { std::puts("the task has ended"); }),
                 runnel::on_timeout(1h));
}

}  // namespace

int main() {
  return runnel::run([] {
    first_of_two();
    in_a_switch();
    without_waiting();
    merge();
    any_number();
    end_of_a_task();
  });
}
