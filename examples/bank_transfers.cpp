// Transfers between accounts: two locks, the order that goes wrong, what explore says of it, and lock_all.
#include <runnel/runnel.hpp>
#include <runnel/sync/lock_all.hpp>
#include <runnel/testing/explore.hpp>

#include <array>
#include <cstdio>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>

namespace {

struct account {
  runnel::mutex lock;
  long euros = 100;
};

/// Locks in the order of its arguments: a -> b and b -> a at the same time wait for each other.
void transfer_naively(account& from, account& to, long euros) {
  const std::lock_guard first(from.lock);
  const std::lock_guard second(to.lock);
  from.euros -= euros;
  to.euros += euros;
}

/// Locks in one order, whoever is who; from and to may be the same.
void transfer(account& from, account& to, long euros) {
  const auto held = runnel::lock_all(from.lock, to.lock);
  from.euros -= euros;
  to.euros += euros;
}

template <void (*Transfer)(account&, account&, long)>
void there_and_back() {
  account a, b;
  runnel::with_task_group([&](runnel::task_group& group) {
    group.go([&] { Transfer(a, b, 10); });
    group.go([&] { Transfer(b, a, 20); });
  });
  if (a.euros + b.euros != 200) throw std::runtime_error("money was made or lost");
}

int count_of(const std::string& what, const std::string& text) {
  int n = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

void in_every_order() {
  const auto naive = runnel::explore({.schedules = 500}, [] { there_and_back<transfer_naively>(); });
  std::printf("naive: %s, fibers parked in a mutex: %d\n", to_string(naive.verdict), count_of("parked in mutex", naive.trace));
  const auto ordered = runnel::explore({.schedules = 500}, [] { there_and_back<transfer>(); });
  std::printf("lock_all: %s in %zu schedules\n", to_string(ordered.verdict), ordered.schedules);
}

void a_day_at_the_bank() {
  std::array<account, 8> accounts;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (std::size_t clerk = 0; clerk < 4; ++clerk)
      group.go([&, clerk] {
        for (std::size_t i = 0; i < 1000; ++i) {
          const std::size_t from = (i * 7 + clerk) % 8, to = (i * 3 + clerk * 5) % 8;  // at times the same one
          transfer(accounts[from], accounts[to], static_cast<long>(i % 50));
          runnel::this_fiber::checkpoint();
        }
      });
  });
  const auto everything = runnel::lock_all(accounts, &account::lock);
  const long sum = std::accumulate(accounts.begin(), accounts.end(), 0L, [](long s, auto& a) { return s + a.euros; });
  std::printf("4000 transfers between 8 accounts: %ld euros, as before\n", sum);
}

}  // namespace

int main() {
  in_every_order();
  return runnel::run(a_day_at_the_bank);
}
