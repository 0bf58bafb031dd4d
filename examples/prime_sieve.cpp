// The sieve of fibers: each prime is a stage that lets through what it does not divide. Stages appear as primes are
// found. And the naive one, which leaves them all behind.
#include <runnel/runnel.hpp>
#include <runnel/testing/bubble.hpp>

#include <cstdio>
#include <string>
#include <utility>

namespace {

/// 2, 3, 4, … for as long as somebody wants them.
void numbers(const runnel::send_channel<int>& out) {
  for (int i = 2;; ++i) out.send(i);
}

/// Lets through what `prime` does not divide.
void sieve(int prime, const runnel::receive_channel<int>& in, const runnel::send_channel<int>& out) {
  for (int i : in)
    if (i % prime != 0) out.send(i);
}

void print_primes(int count) {
  // The stages are joined at the group's end; nobody tells them to stop. The last receiving end goes when this function is
  // left, its sender gets channel_closed, goes too, and so on down to the source: the pipeline ends from its mouth.
  runnel::with_task_group([&](runnel::task_group& stages) {
    const auto until_nobody_wants_more = [&](auto stage) {
      stages.go([stage = std::move(stage)] {
        try {
          stage();
        } catch (const runnel::channel_closed&) {
        }
      });
    };
    auto source = runnel::make_channel<int>();
    until_nobody_wants_more([out = std::move(source.tx)] { numbers(out); });
    runnel::receive_channel<int> in = std::move(source.rx);
    for (int i = 0; i < count; ++i) {
      const int prime = *in.receive();
      std::printf("%d%c", prime, i % 10 == 9 ? '\n' : ' ');
      auto next = runnel::make_channel<int>();
      until_nobody_wants_more([prime, in = std::exchange(in, {}), out = std::move(next.tx)] { sieve(prime, in, out); });
      in = std::move(next.rx);
    }
  });
}

/// The sieve of every tutorial: nobody ends the stages.
void naive() {
  runnel::channel<int> in;
  runnel::go_detached([in] {
    for (int i = 2;; ++i) in.send(i);
  });
  for (int i = 0; i < 50; ++i) {
    const int prime = *in.receive();
    const runnel::channel<int> out;
    runnel::go_detached([in, out, prime] {
      for (int v : in)
        if (v % prime != 0) out.send(v);
    });
    in = out;
  }
}

/// How many fibers the report says were left behind, sending.
int left_sending(const std::string& report) {
  int fibers = 0;
  for (std::size_t at = 0; (at = report.find("parked in channel send", at)) != std::string::npos; ++at) ++fibers;
  return fibers;
}

}  // namespace

int main() {
  return runnel::run([] {
    print_primes(50);
    try {
      runnel::bubble(naive);
    } catch (const runnel::bubble_error& e) {
      std::printf("naive: %d fibers were left in channel send\n", left_sending(e.what()));
    }
  });
}
