// Exploration: a bug that needs an unlucky order of events, found and run again. Linked with runnel::explore.
#include <runnel/runnel.hpp>
#include <runnel/testing/explore.hpp>

#include <cstdio>
#include <stdexcept>

using namespace std::chrono_literals;

namespace {

class account {
 public:
  explicit account(int euros) : euros_(euros) {}
  /// What is to be tested: between the look and the change others may come.
  bool withdraw(int euros) {
    {
      const std::lock_guard hold(lock_);
      if (euros_.load() < euros) return false;
    }
    const std::lock_guard hold(lock_);
    euros_.store(euros_.load() - euros);
    return true;
  }
  /// Repaired: one look, one change, one lock.
  bool withdraw_at_once(int euros) {
    const std::lock_guard hold(lock_);
    if (euros_.load() < euros) return false;
    euros_.store(euros_.load() - euros);
    return true;
  }
  int euros() const { return euros_.load(); }

 private:
  runnel::mutex lock_;
  runnel::shared_var<int> euros_;
};

template <bool (account::*Withdraw)(int)>
void two_withdrawals() {
  account a(100);
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 2; ++i) group.go([&] { (a.*Withdraw)(100); });
  });
  if (a.euros() < 0) throw std::runtime_error("overdrawn");
}

void the_wrong_one() {
  const auto body = [] { two_withdrawals<&account::withdraw>(); };
  const runnel::explore_result r = runnel::explore(body);
  std::printf("%s, within ten schedules: %s\n", to_string(r.verdict), r.schedules <= 10 ? "yes" : "no");
  // r.trace says who did what; the token leads there again, under a debugger for instance.
  try {
    runnel::replay(r.token, body);
  } catch (const std::runtime_error& e) {
    std::printf("replayed: %s\n", e.what());
  }
}

void the_repaired_one() {
  const auto r = runnel::explore({.schedules = 500}, [] { two_withdrawals<&account::withdraw_at_once>(); });
  std::printf("%s in %zu schedules\n", to_string(r.verdict), r.schedules);
}

void a_time_out_that_leaks() {
  const auto r = runnel::explore([] {
    runnel::channel<int> answer;  // a capacity of 1 would let the sender go
    runnel::go_detached({.name = "late"}, [answer] { answer.send(1); });
    static_cast<void>(answer.receive_for(1s));
  });
  std::printf("%s: %s\n", to_string(r.verdict),
              r.trace.find("\"late\": parked in channel send") != std::string::npos ? "late waits for ever" : "?");
}

}  // namespace

int main() {
  the_wrong_one();
  the_repaired_one();
  a_time_out_that_leaks();
}
