// A send orders what stands before it, not what the sender writes after it.
#include <runnel/channel.hpp>
#include <runnel/go.hpp>

#include <utility>

namespace {
int shared = 0;
}

int main() {
  return runnel::run([] {
    auto [tx, rx] = runnel::make_channel<int>(1);
    auto sender = runnel::go([tx = std::move(tx)] {
      tx.send(1);
      ++shared;
    });
    static_cast<void>(rx.receive());
    ++shared;
    sender.get();
  });
}
