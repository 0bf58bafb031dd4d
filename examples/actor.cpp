// Actors: a state with a mailbox, and questions. Supervision has an example of its own.
#include <runnel/patterns/actor.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/event.hpp>

#include <cstdio>
#include <map>
#include <string>
#include <variant>

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
    newest_only();
  });
}
