// Memory orders in practice: five small programs, each wrong and right, and what exploration says. Linked with runnel::explore.
// Its wrong programs race, and ThreadSanitizer would say so before exploration does.
#include <runnel/atomic.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/atomic_snapshot.hpp>
#include <runnel/sync/once.hpp>
#include <runnel/testing/explore.hpp>
#include <runnel/testing/shared_var.hpp>

#include <cstdio>
#include <mutex>
#include <stdexcept>

namespace {

void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

template <class F, class G>
void beside(F f, G g) {
  runnel::with_task_group([&](runnel::task_group& group) {
    group.go(f);
    group.go(g);
  });
}

// ---- Publishing: data first, then the flag that says so

template <std::memory_order Store, std::memory_order Load>
void publishing() {
  runnel::shared_var<int> data(0);
  runnel::atomic<bool> ready(false);
  beside(
      [&] {
        data.store(42);
        ready.store(true, Store);
      },
      [&] {
        if (ready.load(Load)) require(data.load() == 42, "published, and not there");
      });
}

// ---- Double-checked initialisation

class wrongly_double_checked {
 public:
  int get() {
    if (!made_.load(std::memory_order_relaxed)) {
      const std::lock_guard hold(lock_);
      if (!made_.load(std::memory_order_relaxed)) {
        value_.store(7);
        made_.store(true, std::memory_order_relaxed);
      }
    }
    return value_.load();
  }

 private:
  runnel::mutex lock_;
  runnel::atomic<bool> made_{false};
  runnel::shared_var<int> value_{0};
};

class made_once {
 public:
  int get() {
    once_.call([this] { value_.store(7); });
    return value_.load();
  }

 private:
  runnel::once once_;
  runnel::shared_var<int> value_{0};
};

template <class T>
void initialisation() {
  T t;
  beside([&] { require(t.get() == 7, "half made"); }, [&] { require(t.get() == 7, "half made"); });
}

// ---- Counting

template <class Increment>
auto counting(Increment increment) {
  return [increment] {
    runnel::atomic<int> hits(0);
    beside([&] { increment(hits); }, [&] { increment(hits); });
    require(hits.load() == 2, "a hit is lost");
  };
}

// ---- Figures that belong together

void two_atomics() {
  runnel::atomic<int> requests(0), errors(0);
  beside(
      [&] {
        requests.fetch_add(1);
        errors.fetch_add(1);
      },
      [&] { require(errors.load() == requests.load(), "more requests than errors: torn"); });
}

struct figures {
  int requests = 0, errors = 0;
};

void one_snapshot() {
  runnel::atomic_snapshot<figures> totals;
  beside([&] { totals.update([](figures f) { return figures{f.requests + 1, f.errors + 1}; }); },
         [&] {
           const auto seen = totals.load();
           require(seen->errors == seen->requests, "torn");
         });
}

// ---- Reloading a configuration

void reloaded_in_place() {
  runnel::shared_var<int> limit(10);
  beside([&] { limit.store(20); }, [&] { require(limit.load() > 0, "no limit"); });
}

void reloaded_as_a_whole() {
  runnel::atomic_snapshot<int> limit(10);
  beside([&] { limit.store(20); }, [&] { require(*limit.load() > 0, "no limit"); });
}

template <class Wrong, class Right>
void compare(const char* what, Wrong wrong, Right right) {
  const auto w = runnel::explore(wrong), r = runnel::explore(right);
  std::printf("%s: wrong: %s, right: %s\n", what, to_string(w.verdict), to_string(r.verdict));
}

}  // namespace

int main() {
  using enum std::memory_order;
  compare("publishing", &publishing<relaxed, acquire>, &publishing<release, acquire>);
  compare("publishing, read without acquire", &publishing<release, relaxed>, &publishing<release, acquire>);
  compare("initialisation", &initialisation<wrongly_double_checked>, &initialisation<made_once>);
  compare("counting", counting([](auto& hits) { hits.store(hits.load() + 1); }),
          counting([](auto& hits) { hits.fetch_add(1, std::memory_order_relaxed); }));
  compare("figures", &two_atomics, &one_snapshot);
  compare("configuration", &reloaded_in_place, &reloaded_as_a_whole);
}
