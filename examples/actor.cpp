// Actors: a state with a mailbox, questions, and supervision.
#include <runnel/patterns/actor.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/event.hpp>

#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <variant>
using namespace std::chrono_literals;

namespace {
struct arrived {
  std::string item;
  int count;
};
struct take {
  std::string item;
  runnel::reply<bool> done;
};
using stock_message = std::variant<arrived, take>;

/// The state: nobody else sees it, so it needs no lock.
class stock {
 public:
  void operator()(arrived a) { count_[a.item] += a.count; }
  void operator()(take t) {
    int& left = count_[t.item];
    t.done(left > 0 && left-- > 0);
  }

 private:
  std::map<std::string, int> count_;
};

void asking() {
  runnel::actor<stock_message> warehouse([] { return stock{}; });
  warehouse.tell(arrived{"chair", 2});
  for (int i = 0; i < 3; ++i) {
    const bool got = warehouse.ask<bool>([](runnel::reply<bool> r) { return take{"chair", std::move(r)}; });
    std::printf("chair: %s\n", got ? "taken" : "sold out");
  }
  warehouse.stop();  // what is in the mailbox is still handled
  warehouse.join();
}

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

void supervised() {
  int connections = 0;
  runnel::actor<std::string> log({.on_failure = runnel::supervision::restart, .max_restarts = 1, .restart_period = 1h},
                                 [&] { return uploader(++connections); });
  for (const char* line : {"a", "b", "lost with the connection", "c", "d", "the second loss within an hour"}) log.tell(line);
  log.stop();
  try {
    log.join();
  } catch (const std::runtime_error& e) {
    std::printf("ended: %s, restarts: %d\n", e.what(), static_cast<int>(log.counters().restarts));
  }
}

/// A display wants the newest figure, not each one.
void newest_only() {
  runnel::event drawing, drawn;
  runnel::actor<int> display({.mailbox = 1, .overflow = runnel::overflow_policy::drop_oldest}, [&] {
    return [&](int percent) {
      std::printf("%d %%\n", percent);
      drawing.set();
      drawn.wait();
    };
  });
  display.tell(0);
  drawing.wait();
  for (int percent = 1; percent <= 100; ++percent) display.tell(percent);
  drawn.set();
  display.stop();
  display.join();
}
}  // namespace

int main() {
  return runnel::run([] {
    asking();
    supervised();
    newest_only();
  });
}
