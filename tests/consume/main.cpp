#include <runnel/channel.hpp>
#include <runnel/go.hpp>

#include <cstdio>
#include <utility>

int main() {
  return runnel::run([] {
    auto [tx, rx] = runnel::make_channel<int>();
    auto sender = runnel::go([tx = std::move(tx)] { tx.send(42); });
    std::printf("%d\n", rx.receive().value_or(0));
    sender.get();
  });
}
