// A client of a service that fails at times: it tries again, and it does not ask too often. In virtual time, so that the
// output is exact.
#include <runnel/patterns/keyed_rate_limiter.hpp>
#include <runnel/patterns/rate_limiter.hpp>
#include <runnel/patterns/retry.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/bubble.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

namespace {

struct unavailable {};

long long seconds(std::chrono::nanoseconds d) { return d / 1s; }

/// Down for its first ten seconds, and slow at its first answer.
class service {
 public:
  std::string ask(const std::string& question) {
    ++requests;
    if (question.empty()) throw std::invalid_argument("an empty question");
    if (runnel::steady_clock::now() < up_) throw unavailable();
    if (++answers_ == 1) runnel::sleep_for(1h);
    return "42";
  }
  int requests = 0;

 private:
  const runnel::time_point up_ = runnel::steady_clock::now() + 10s;
  int answers_ = 0;
};

/// What not to do: all that was asked in vain is asked again at once.
void naive() {
  service s;
  const auto until = runnel::steady_clock::now() + 9s;
  while (runnel::steady_clock::now() < until) {
    try {
      std::puts(s.ask("?").c_str());
    } catch (const unavailable&) {
      runnel::sleep_for(1ms);  // the round trip
    }
  }
  std::printf("naive: %d requests to a service that was down, and no answer\n", s.requests);
}

std::string ask(service& s, runnel::rate_limiter& limiter, const std::string& question) {
  static const runnel::retry_policy policy{
      .budget = 1min,
      .attempt_timeout = 2s,
      .delay = 1s,
      .jitter = runnel::jitter::none,  // for the output; the default spreads the clients over the time
      .permanent = runnel::error_is<std::invalid_argument>,
      .on_failure = [](const runnel::failed_attempt& a) {
        if (a.next_delay) std::printf("  attempt %zu failed, next in %lld s\n", a.number, seconds(*a.next_delay));
      }};
  return runnel::retry(policy, [&] {
    limiter.wait();
    return s.ask(question);
  });
}

void patient() {
  service s;
  runnel::rate_limiter limiter(runnel::rate::per_second(10), 1);
  std::printf("patient: %s\n", ask(s, limiter, "?").c_str());
  try {
    ask(s, limiter, "");
  } catch (const std::invalid_argument& e) {
    std::printf("not tried again: %s\n", e.what());
  }
  std::printf("%d requests\n", s.requests);
}

/// The other side: each client may ask so often, and no more.
void turning_away() {
  runnel::keyed_rate_limiter<std::string> limits(runnel::rate::per_second(1), 2);
  const auto visit = [&](const char* who) { std::printf("%s: %s\n", who, limits.allow(who) ? "welcome" : "too many"); };
  for (const char* client : {"ann", "ann", "ann", "bob"}) visit(client);
  runnel::sleep_for(1s);
  visit("ann");
}

/// Booked ahead: a page each two seconds.
void booking() {
  runnel::rate_limiter printer(runnel::rate::every(2s), 3);
  static_cast<void>(printer.allow(3));
  auto mine = printer.reserve(3);
  std::printf("three pages in %lld s\n", seconds(mine.delay()));
  mine.cancel();
  std::printf("two, then, in %lld s\n", seconds(printer.reserve(2).delay()));
}

}  // namespace

int main() {
  runnel::bubble([] {
    naive();
    patient();
    turning_away();
    booking();
  });
}
