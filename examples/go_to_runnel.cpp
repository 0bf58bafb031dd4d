// What a Go programmer writes, in runnel.
#include <runnel/runnel.hpp>

#include <cstdio>
#include <mutex>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

/// errgroup.WithContext and SetLimit.
std::vector<std::size_t> lengths(const std::vector<std::string>& words) {
  std::vector<std::size_t> result(words.size());
  runnel::with_task_group({.limit = 4}, [&](runnel::task_group& g) {
    for (std::size_t i = 0; i < words.size(); ++i) g.go([&, i] { result[i] = words[i].size(); });
  });
  return result;
}

/// go func() { defer close(ch); ... }(); for v := range ch
int range_over_channel() {
  auto [tx, rx] = runnel::make_channel<int>();
  auto producer = runnel::go([tx = std::move(tx)] {
    for (int i = 0; i < 5; ++i) tx.send(i);
  });
  int sum = 0;
  for (int v : rx) sum += v;
  return sum;
}

/// select { case v := <-ch: ... case <-ctx.Done(): ... case <-time.After(d): ... }
const char* wait_for(const runnel::receive_channel<int>& ch) {
  switch (runnel::select(runnel::on_receive(ch), runnel::on_done(runnel::context::current()),
                         runnel::on_timeout(1ms))) {
    case 0:
      return "value or closed";
    case 1:
      return "done";
    default:
      return "time-out";
  }
}

/// ctx, cancel := context.WithTimeout(ctx, d); defer cancel()
const char* limited() {
  try {
    return runnel::with_timeout(1ms, [] {
      runnel::sleep_for(1h);
      return "in time";
    });
  } catch (const runnel::deadline_exceeded&) {
    return "context deadline exceeded";
  }
}

}  // namespace

int main() {
  return runnel::run([] {
    for (std::size_t n : lengths({"a", "bc", "def"})) std::printf("%zu ", n);
    std::printf("\n%d\n", range_over_channel());
    auto ends = runnel::make_channel<int>();
    std::printf("%s\n", wait_for(ends.rx));
    ends.tx = {};
    std::printf("%s\n", wait_for(ends.rx));
    std::printf("%s\n", limited());
  });
}
