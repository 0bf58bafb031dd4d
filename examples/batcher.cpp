// A batcher: rows that come one at a time from everywhere and are inserted in groups. And the naive one.
#include <runnel/patterns/batcher.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/bubble.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

struct row {
  int id;
};

void by_size_and_age() {
  const auto start = runnel::steady_clock::now();
  runnel::batcher<row> rows(
      [&](std::vector<row>& batch) {
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(runnel::steady_clock::now() - start).count();
        std::printf("%zu rows after %d ms\n", batch.size(), static_cast<int>(ms));
      },
      {.size = 4, .age = 50ms});
  for (int id = 0; id < 6; ++id) rows.add({id});  // 4 at once, 2 when the first of them is 50 ms old
  runnel::sleep_for(200ms);
  rows.add({6});
  rows.close();  // the rest
}

void failing() {
  int inserted = 0;
  runnel::batcher<row> rows(
      [&](std::vector<row>& batch) {
        if (batch[0].id == 2) throw std::runtime_error("connection lost");
        inserted += static_cast<int>(batch.size());
      },
      {.size = 2, .on_failure = [](std::vector<row>&& batch, std::exception_ptr) {
         std::printf("to the dead-letter file: rows %d and %d\n", batch[0].id, batch[1].id);
       }});
  runnel::with_task_group([&](runnel::task_group& group) {
    group.go([&] {
      for (int id = 0; id < 6; ++id) rows.add({id});
    });
  });
  rows.flush();  // all that was added is through
  std::printf("%d inserted\n", inserted);
}

void without_handler() {
  runnel::batcher<row> rows([](std::vector<row>&) { throw std::runtime_error("disk full"); });
  for (int id = 0; id < 3; ++id) rows.add({id});
  try {
    rows.close();
  } catch (const runnel::batch_failed<row>& e) {
    std::printf("%zu rows came back\n", e.items().size());
  }
}

/// The batch that is flushed by a ticker: nobody ends the ticker's fiber, and the rest is never flushed.
void naive() {
  struct state {
    runnel::mutex m;
    std::vector<row> batch;
  };
  const auto s = std::make_shared<state>();
  runnel::go_detached([s] {
    for (runnel::ticker t(50ms); t.receive();) {
      const std::lock_guard hold(s->m);
      s->batch.clear();  // the insert, under the lock: everybody who adds waits for the data base
    }
  });
  const std::lock_guard hold(s->m);
  s->batch.push_back({1});
}

}  // namespace

int main() {
  return runnel::run([] {
    runnel::bubble([] {  // in virtual time
      by_size_and_age();
      failing();
      without_handler();
    });
    try {
      runnel::bubble(naive);
    } catch (const runnel::bubble_error& e) {
      const std::string text = e.what();
      std::printf("naive: %s\n", text.find("channel receive") != std::string::npos ? "the ticker's fiber was left behind" : e.what());
    }
  });
}
