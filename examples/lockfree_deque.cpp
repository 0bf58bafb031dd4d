// work_stealing_deque: one works through what grows while it works, others help.
#include <runnel/lockfree/work_stealing_deque.hpp>
#include <runnel/runnel.hpp>

#include <atomic>
#include <cstdio>

namespace {

struct range {
  long from, to;
};

/// Sums what it can get until nothing is left; splits what is large, so that others can help.
class summing {
 public:
  explicit summing(range all) : left_(all.to - all.from) { tasks_.push(all); }

  void own() {
    while (left_.load() != 0) {
      if (auto r = tasks_.try_pop()) {
        while (r->to - r->from > 1000) {  // keeps the half that it goes on with, and leaves the other to whoever comes
          const long middle = (r->from + r->to) / 2;
          tasks_.push({middle, r->to});
          r->to = middle;
        }
        add(*r);
      } else {
        runnel::yield();
      }
    }
  }
  void help() {
    while (left_.load() != 0) {
      if (auto r = tasks_.try_steal()) {
        add(*r);  // the oldest, so the largest that there is
      } else {
        runnel::yield();
      }
    }
  }
  long sum() const { return sum_.load(); }

 private:
  void add(range r) {
    long s = 0;
    for (long i = r.from; i < r.to; ++i) s += i;
    sum_.fetch_add(s);
    left_.fetch_sub(r.to - r.from);
  }
  runnel::lockfree::work_stealing_deque<range> tasks_;
  std::atomic<long> left_;
  std::atomic<long> sum_{0};
};

}  // namespace

int main() {
  return runnel::run([] {
    summing job({0, 1'000'000});
    runnel::with_task_group([&](runnel::task_group& g) {
      g.go([&] { job.own(); });
      for (int i = 0; i < 3; ++i) g.go([&] { job.help(); });
    });
    std::printf("sum: %ld\n", job.sum());
  });
}
