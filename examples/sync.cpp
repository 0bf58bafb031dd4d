// Shared state: a mutex between fibers and a thread, a wait_group for what no task group owns.
#include <runnel/runnel.hpp>

#include <cstdio>
#include <map>
#include <mutex>
#include <string>
#include <thread>

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

void waiting_for_all() {
  runnel::wait_group in_flight;
  runnel::mutex m;
  int done = 0;
  for (int i = 0; i < 3; ++i)
    in_flight.go([&] {
      const std::scoped_lock lock(m);
      ++done;
    });
  in_flight.wait();
  std::printf("done: %d\n", done);
  try {
    in_flight.done();
  } catch (const runnel::misuse& e) {
    std::printf("%s\n", e.what());
  }
}

}  // namespace

int main() {
  return runnel::run([] {
    counting();
    limited_lock();
    waiting_for_all();
  });
}
