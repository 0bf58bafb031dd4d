// Time: sleeping, a timer that is put off, a ticker.
#include <runnel/runnel.hpp>

#include <cstdio>

using namespace std::chrono_literals;

namespace {

void sleeping() {
  const runnel::time_point start = runnel::steady_clock::now();
  runnel::sleep_for(5ms);
  std::printf("slept long enough: %s\n", runnel::steady_clock::now() - start >= 5ms ? "yes" : "no");
}

void timers() {
  runnel::timer t(1h);
  std::printf("was pending: %s\n", t.reset(1ms) ? "yes" : "no");
  t.receive();
  std::puts("fired");
  std::printf("was pending: %s\n", t.stop() ? "yes" : "no");
}

void no_stale_tick() {
  runnel::timer t(1ms);
  while (t.size() == 0) runnel::yield();  // it has fired, nobody has taken the tick
  t.stop();
  std::printf("tick after stop: %s\n", t.try_receive() ? "yes" : "no");
}

void ticks() {
  runnel::ticker every(1ms);
  for (int i = 1; i <= 3; ++i) {
    every.receive();
    std::printf("tick %d\n", i);
  }
}

void in_a_select() {
  auto [tx, rx] = runnel::make_channel<int>();
  const runnel::timer limit = runnel::after(1ms);  // one limit for the whole loop
  for (bool waiting = true; waiting;)
    runnel::select(runnel::on_receive(rx),
                   runnel::on_receive(limit, [&](auto) { waiting = false; }));
  std::puts("nothing came in time");
}

}  // namespace

int main() {
  return runnel::run([] {
    sleeping();
    timers();
    no_stale_tick();
    ticks();
    in_a_select();
  });
}
