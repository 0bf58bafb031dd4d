// Supervision: an actor whose handler fails gets a fresh state and goes on, but not for ever. And the naive one, whose
// senders wait for ever.
#include <runnel/patterns/actor.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/bubble.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

namespace {

/// Loses its connection at each third line; a fresh state has a fresh connection.
class uploader {
 public:
  explicit uploader(int connection) : connection_(connection) {}
  void operator()(const std::string& line) {
    if (++lines_ == 3) throw std::runtime_error("connection lost");
    std::printf("connection %d: %s\n", connection_, line.c_str());
  }

 private:
  int connection_, lines_ = 0;
};

constexpr const char* lines[] = {"a", "b", "lost with the connection", "c", "d", "the second loss within an hour"};

void supervised() {
  int connections = 0;
  runnel::actor<std::string> log({.on_failure = runnel::supervision::restart, .max_restarts = 1, .restart_period = 1h},
                                 [&] { return uploader(++connections); });
  for (const char* line : lines) log.tell(line);
  log.stop();
  try {
    log.join();
  } catch (const std::runtime_error& e) {
    std::printf("ended: %s, restarts: %d\n", e.what(), static_cast<int>(log.counters().restarts));
  }
}

/// What is written first: a loop around a channel. When the handler throws, nobody hears of it until the box is full.
void naive() {
  const runnel::channel<std::string> box(2);
  auto owner = runnel::go([box] {
    uploader log(1);
    for (const std::string& line : box) log(line);
  });
  for (const char* line : lines) box.send(line);
  box.close();
  owner.get();
}

}  // namespace

int main() {
  return runnel::run([] {
    supervised();
    try {
      runnel::bubble(naive);
    } catch (const runnel::bubble_error& e) {
      const std::string text = e.what();
      const bool sends = text.find("deadlock") != text.npos && text.find("parked in channel send") != text.npos;
      std::printf("naive: %s\n", sends ? "a deadlock in channel send" : e.what());
    }
  });
}
