// The sender writes after it has sent over a one-to-one channel; the receiver reads.
#include <runnel/channel.hpp>
#include <runnel/go.hpp>

namespace {
int shared = 0;
}

int main() {
  return runnel::run([] {
    auto c = runnel::make_channel<int, runnel::spsc>(1);
    auto sender = runnel::go([&] {
      c.tx.send(1);
      ++shared;
    });
    c.rx.receive();
    ++shared;
    sender.get();
  });
}
