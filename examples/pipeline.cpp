// A pipeline: bounded, in order, with several workers, tried again, paced, ended by who leaves. And the naive one.
#include <runnel/patterns/generate.hpp>
#include <runnel/patterns/merge.hpp>
#include <runnel/patterns/pipeline.hpp>
#include <runnel/patterns/retry.hpp>
#include <runnel/patterns/tee.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/bubble.hpp>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

namespace {
struct page { int id; std::string text; };

/// A server: every third answer takes long, every fourth comes only at the second try.
page fetch(int id, std::size_t attempt) {
  runnel::sleep_for(id % 3 == 0 ? 50ms : 5ms);
  if (id % 4 == 0 && attempt == 1) throw std::runtime_error("busy");
  return {id, "page " + std::to_string(id)};
}

page fetch_with_retry(int id) {
  const runnel::retry_policy policy{.attempts = 3, .attempt_timeout = 1s, .delay = 10ms};
  return runnel::retry(policy, [id](std::size_t attempt) { return fetch(id, attempt); });
}

/// Bounded, in order, tried again, paced; ended by who leaves, and by whoever cancels the caller.
void crawl() {
  auto pages = runnel::from([id = 0]() mutable { return std::optional(id++); })
             | runnel::throttle(200, 1s)                                             // at most 200 requests a second
             | runnel::map(fetch_with_retry, {.workers = 8, .buffer = 16, .name = "fetch"})  // in order all the same
             | runnel::filter([](const page& p) { return p.id % 2 == 0; })
             | runnel::batch(3, 100ms);
  for (auto& batch : pages) {  // leaving the loop ends all of it
    std::printf("%s to %s\n", batch.front().text.c_str(), batch.back().text.c_str());
    if (batch.back().id >= 10) break;
  }
}

void crawl_twice() {
  const auto start = runnel::steady_clock::now();
  crawl();
  std::printf("%s\n", runnel::steady_clock::now() - start < 500ms ? "side by side" : "one by one");
  try {
    runnel::with_timeout(20ms, crawl);
  } catch (const runnel::deadline_exceeded&) {
    std::printf("cut off, and nothing of it is left\n");  // else the bubble would say so
  }
}

void failing() {
  auto numbers = runnel::from([i = 0]() mutable { return std::optional(i++); }, {.buffer = 4})
               | runnel::map([](int v) { return v < 5 ? v : throw std::out_of_range("5 is too much"); }, {.name = "check"});
  try {
    numbers.for_each([](int v) { std::printf("%d ", v); });
  } catch (const std::out_of_range& e) {
    std::printf("\n%s, says stage %u, %s\n", e.what(), numbers.failed_stage()->number, numbers.failed_stage()->name.c_str());
  }
}

void streams() {
  const auto count = [](int first, int last) {
    return runnel::generate<int>([=](auto& out) { for (int i = first; i <= last; ++i) out.send(i); });
  };
  auto copies = runnel::tee(runnel::merge(count(1, 3), count(10, 12)));
  int sum = 0, largest = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    group.go([&] { for (int v : copies[0]) sum += v; });
    group.go([&] { for (int v : copies[1]) largest = std::max(largest, v); });
  });
  std::printf("sum %d, largest %d\n", sum, largest);
}

/// The generator of every tutorial: when the reader stops, who sends waits for ever.
void naive() {
  runnel::channel<int> numbers;
  runnel::go_detached([numbers] { for (int i = 0;; ++i) numbers.send(i); });
  while (numbers.receive() != 3) continue;
}
}  // namespace

int main() {
  return runnel::run([] {
    runnel::bubble(crawl_twice);  // in virtual time: the server of this example only sleeps
    failing();
    streams();
    try {
      runnel::bubble(naive);
    } catch (const runnel::bubble_error& e) {
      const std::string text = e.what();
      std::printf("naive: %s\n", text.find("channel send") != std::string::npos ? "a fiber was left in channel send" : e.what());
    }
  });
}
