// A circuit breaker in front of a shop's price service that is down for a while, in virtual time.
#include <runnel/patterns/circuit_breaker.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/bubble.hpp>

#include <cstdio>
#include <stdexcept>

using namespace std::chrono_literals;

namespace {

const char* name_of(runnel::circuit_state s) {
  switch (s) {
    case runnel::circuit_state::closed:
      return "closed";
    case runnel::circuit_state::open:
      return "open";
    default:
      return "half-open";
  }
}

/// Answers within 10 ms; from minute 1 to minute 3 not at all.
int price_service(runnel::time_point opening) {
  const auto age = runnel::steady_clock::now() - opening;
  runnel::sleep_for(age >= 1min && age < 3min ? 1h : 10ms);
  return 42;
}

void a_service_that_is_down() {
  const auto opening = runnel::steady_clock::now();
  const auto seconds = [&] {
    return static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(runnel::steady_clock::now() - opening).count());
  };
  runnel::circuit_breaker prices({.consecutive_failures = 3,
                                  .open_for = 30s,
                                  .on_change = [&](runnel::circuit_state from, runnel::circuit_state to) {
                                    std::printf("%3d s: %s -> %s\n", seconds(), name_of(from), name_of(to));
                                  }});
  int answered = 0, late = 0, refused = 0;
  for (int customer = 0; customer < 240; ++customer) {
    try {
      // The time limit stands inside: being late is the service's failure.
      answered += prices.call([&] { return runnel::with_timeout(1s, [&] { return price_service(opening); }); }) == 42;
    } catch (const runnel::deadline_exceeded&) {
      ++late;
    } catch (const runnel::circuit_open&) {
      ++refused;  // at once: show the price of yesterday
    }
    runnel::sleep_until(opening + (customer + 1) * 1s);
  }
  std::printf("answered %d, waited a second in vain %d, refused at once %d\n", answered, late, refused);
}

}  // namespace

int main() {
  return runnel::run([] { runnel::bubble(a_service_that_is_down); });
}
