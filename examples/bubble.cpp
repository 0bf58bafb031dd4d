// Virtual time: what takes hours takes no time, and what hangs is named.
#include <runnel/runnel.hpp>
#include <runnel/testing/bubble.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

namespace {

/// What is to be tested: five tries, an hour apart.
template <class F>
bool try_hourly(F f) {
  for (int i = 0; i < 5; ++i) {
    try {
      f();
      return true;
    } catch (const std::runtime_error&) {
      runnel::sleep_for(1h);
    }
  }
  return false;
}

void hours_in_no_time() {
  runnel::bubble([] {
    const auto start = runnel::steady_clock::now();
    int calls = 0;
    const bool worked = try_hourly([&] {
      if (++calls < 4) throw std::runtime_error("not yet");
    });
    const auto hours = std::chrono::duration_cast<std::chrono::hours>(runnel::steady_clock::now() - start);
    std::printf("%s after %d calls and %d hours\n", worked ? "done" : "failed", calls, static_cast<int>(hours.count()));
  });
}

void around_the_limit() {
  runnel::bubble([] {
    auto [tx, rx] = runnel::make_channel<int>();
    auto slow = runnel::go([tx = std::move(tx)] {
      runnel::sleep_for(10s);
      tx.send(1);
    });
    const bool early = rx.receive_for(9'999ms).status == runnel::channel_status::ok;
    const bool late = rx.receive_for(2ms).status == runnel::channel_status::ok;
    std::printf("within 9.999 s: %s, within 10.001 s: %s\n", early ? "yes" : "no", late ? "yes" : "no");
  });
}

void what_hangs_is_named() {
  try {
    runnel::bubble([] {
      runnel::channel<int> replies;
      auto t = runnel::go({.name = "patient"}, [&] { replies.receive(); });
      t.get();
    });
  } catch (const runnel::bubble_error& e) {
    const std::string report = e.what();
    std::printf("%s\n", report.substr(0, report.find(':', 8)).c_str());
    std::printf("named: %s\n", report.find("\"patient\": parked in channel receive") != std::string::npos ? "yes" : "no");
  }
}

}  // namespace

int main() {
  return runnel::run([] {
    hours_in_no_time();
    around_the_limit();
    what_hangs_is_named();
  });
}
