// Locks: one at a time, readers together, a condition, so many at a time, several at once.
#include <runnel/runnel.hpp>
#include <runnel/sync/lock_all.hpp>
#include <runnel/sync/scoped_lock.hpp>
#include <runnel/sync/sharded_mutex.hpp>
#include <runnel/sync/shared_mutex.hpp>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace {

/// A structure that is changed in place: the case for a mutex.
class hit_counter {
 public:
  void hit(const std::string& page) {
    const std::scoped_lock lock(m_);
    ++hits_[page];
  }
  int hits(const std::string& page) const {
    const std::scoped_lock lock(m_);
    const auto found = hits_.find(page);
    return found == hits_.end() ? 0 : found->second;
  }

 private:
  mutable runnel::mutex m_;
  std::map<std::string, int> hits_;
};

void counting() {
  hit_counter counter;
  std::thread outside([&] {
    for (int i = 0; i < 100; ++i) counter.hit("index");  // a thread waits on a futex, a fiber parks
  });
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 10; ++i)
      group.go([&] {
        for (int k = 0; k < 10; ++k) counter.hit("index");
      });
  });
  runnel::blocking([&] { outside.join(); });
  std::printf("hits: %d\n", counter.hits("index"));
}

void limited_lock() {
  runnel::mutex m;
  const std::scoped_lock held(m);
  auto other = runnel::go([&] { return m.try_lock_for(1ms); });
  std::printf("locked within the limit: %s\n", other.get() ? "yes" : "no");
}

/// Read often, changed seldom.
class settings {
 public:
  std::string get(const std::string& name) const {
    const std::shared_lock lock(m_);
    const auto found = values_.find(name);
    return found == values_.end() ? "" : found->second;
  }
  /// The value as it was set, also if somebody changes it at once: it is read before the next writer is let in.
  std::string set(const std::string& name, std::string value) {
    m_.lock();
    values_[name] = std::move(value);
    m_.unlock_and_lock_shared();
    const std::string now = values_[name];
    m_.unlock_shared();
    return now;
  }

 private:
  mutable runnel::shared_mutex m_;
  std::map<std::string, std::string> values_;
};

void reading() {
  settings s;
  std::printf("set: %s\n", s.set("colour", "green").c_str());
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 4; ++i) group.go([&] { s.get("colour"); });  // all four at the same time
  });
}

/// Waits until something that a mutex guards has changed.
class mailbox {
 public:
  void put(std::string letter) {
    {
      const std::scoped_lock lock(m_);
      letters_.push_back(std::move(letter));
    }
    arrived_.notify_one();
  }
  std::string take() {
    std::unique_lock lock(m_);
    arrived_.wait(lock, [&] { return !letters_.empty(); });
    std::string first = std::move(letters_.front());
    letters_.pop_front();
    return first;
  }

 private:
  runnel::mutex m_;
  runnel::condition_variable arrived_;
  std::deque<std::string> letters_;
};

void waiting_for_a_letter() {
  mailbox box;
  auto reader = runnel::go([&] { return box.take(); });
  box.put("hello");
  std::printf("letter: %s\n", reader.get().c_str());
}

/// At most 100 units of memory at a time, whatever the pieces weigh.
void weighted() {
  runnel::semaphore memory(100);
  int used = 0, most = 0;
  runnel::mutex m;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (const int weight : {60, 30, 50, 20, 70}) {
      group.go([&, weight] {
        const runnel::permit p(memory, weight);  // in turn: a heavy one is not overtaken for ever
        {
          const std::scoped_lock lock(m);
          most = std::max(most, used += weight);
        }
        runnel::sleep_for(1ms);
        const std::scoped_lock lock(m);
        used -= weight;
      });
    }
  });
  std::printf("never more than 100: %s, all back: %td\n", most <= 100 ? "yes" : "no", memory.available());
}

void either_or() {
  runnel::semaphore slots(0);
  runnel::select(runnel::on_acquire(slots,
                                    [&] {
                                      const runnel::permit p = runnel::permit::adopt(slots);
                                      std::puts("got a slot");
                                    }),
                 runnel::on_timeout(1ms, [] { std::puts("no slot in time"); }));
}

struct account {
  runnel::mutex m;
  int balance = 100;
};

void transfer(account& from, account& to, int amount) {
  const auto held = runnel::lock_all(from.m, to.m);  // in one order, whoever is first; once, if it is the same
  from.balance -= amount;
  to.balance += amount;
}

void transfers() {
  std::vector<account> accounts(3);
  runnel::with_task_group([&](runnel::task_group& group) {
    for (std::size_t i = 0; i < 9; ++i)
      group.go([&, i] { transfer(accounts[i % 3], accounts[i / 3], 10); });
  });
  const auto held = runnel::lock_all(accounts, &account::m);
  int sum = 0;
  for (const account& a : accounts) sum += a.balance;
  std::printf("sum: %d\n", sum);
}

void by_key() {
  runnel::sharded_mutex locks;
  std::vector<int> counts(1000);
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int n = 0; n < 4; ++n)
      group.go([&] {
        for (std::size_t i = 0; i < counts.size(); ++i) {
          const std::scoped_lock lock(locks[i]);
          ++counts[i];
        }
      });
  });
  std::printf("all four: %s\n", std::ranges::count(counts, 4) == 1000 ? "yes" : "no");
}

/// Which lock guards what, told to the compiler.
class balance {
 public:
  void deposit(int amount) {
    const runnel::scoped_lock hold(mutex_);  // without it, clang's -Wthread-safety rejects the next line
    amount_ += amount;
  }
  int amount() const {
    const runnel::scoped_shared_lock hold(mutex_);
    return amount_;
  }

 private:
  mutable runnel::shared_mutex mutex_;
  int amount_ RUNNEL_GUARDED_BY(mutex_) = 0;
};

void annotated() {
  balance b;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int n = 0; n < 4; ++n) group.go([&] { b.deposit(5); });
  });
  std::printf("balance: %d\n", b.amount());
}

}  // namespace

int main() {
  return runnel::run([] {
    counting();
    limited_lock();
    reading();
    waiting_for_a_letter();
    weighted();
    either_or();
    transfers();
    by_key();
    annotated();
  });
}
