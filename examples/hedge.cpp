// Hedged calls to replicas of which one is slow now and then, in virtual time.
#include <runnel/patterns/hedge.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/bubble.hpp>

#include <algorithm>
#include <cstdio>
#include <vector>

using namespace std::chrono_literals;

namespace {

/// Every 20th call takes a second, the others 10 ms.
class replica {
 public:
  int read() {
    runnel::sleep_for(++calls_ % 20 == 0 ? 1000ms : 10ms);
    return 42;
  }
  int calls() const { return calls_; }

 private:
  int calls_ = 0;
};

template <class F>
void measure(const char* name, const replica& r, F call) {
  std::vector<std::chrono::milliseconds> times;
  for (int i = 0; i < 100; ++i) {
    const auto begin = runnel::steady_clock::now();
    call();
    times.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(runnel::steady_clock::now() - begin));
  }
  std::sort(times.begin(), times.end());
  std::printf("%s: median %d ms, slowest %d ms, calls %d\n", name, static_cast<int>(times[50].count()),
              static_cast<int>(times.back().count()), r.calls());
}

void reads() {
  replica plain, hedged;
  measure("plain ", plain, [&] { plain.read(); });
  measure("hedged", hedged, [&] { runnel::hedge({.delay = 20ms, .attempts = 2}, [&] { return hedged.read(); }); });
}

}  // namespace

int main() {
  return runnel::run({.workers = 1}, [] { runnel::bubble(reads); });
}
