// The laws of channels that every caller relies on; the behaviours of the originals stand in conformance/.
#include "support/fixture.hpp"

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class channel_laws : public behaviour {};
RUNNEL_EVERY_CALLER(channel_laws);

TEST_P(channel_laws, values_arrive_in_the_order_in_which_they_were_sent) {
  in_runtime([] {
    for (std::size_t capacity : {0u, 1u, 7u, 256u, 1000u}) {
      channel<int> c(capacity);
      auto sender = start([=] {
        for (int i = 0; i < 2000; ++i) c.send(i);
        c.close();
      });
      int expected = 0;
      for (int& v : c) EXPECT_EQ(v, expected++);
      EXPECT_EQ(expected, 2000);
      sender.join();
    }
  });
}

TEST_P(channel_laws, receive_on_closed_drains_then_reports_closed) {
  in_runtime([] {
    channel<int> c(3);
    c.send(1);
    c.send(2);
    EXPECT_TRUE(c.close());
    EXPECT_FALSE(c.close());
    EXPECT_EQ(c.receive(), 1);
    EXPECT_EQ(c.try_receive().value, 2);
    EXPECT_EQ(c.receive(), std::nullopt);
    EXPECT_EQ(c.try_receive().status, channel_status::closed);
    EXPECT_THROW(c.send(3), channel_closed);
    EXPECT_EQ(c.try_send(3), channel_status::closed);
  });
}

TEST_P(channel_laws, the_last_sender_gone_closes_and_the_last_receiver_gone_frees_senders) {
  in_runtime([this] {
    auto [tx, rx] = make_channel<std::unique_ptr<int>>(1);
    auto blocked = start([tx = tx] {
      tx.send(std::make_unique<int>(1));
      auto second = std::make_unique<int>(2);
      EXPECT_THROW(tx.send(std::move(second)), channel_closed);
      EXPECT_NE(second, nullptr) << "a failed send leaves the value alone";
    });
    until_waiting(1);
    { auto gone = std::move(rx); }
    blocked.join();
    EXPECT_TRUE(tx.is_closed());
    EXPECT_EQ(tx.size(), 0u);
  });
}

TEST_P(channel_laws, a_cancelled_receive_leaves_the_channel_usable) {
  in_runtime([this] {
    channel<int> c;
    auto [ctx, cancel] = derive_cancel(context::current());
    auto waiting = start([c, ctx = ctx] { EXPECT_THROW(c.receive(ctx), canceled); });
    until_waiting(1);
    cancel();
    waiting.join();
    auto sender = start([c] { c.send(5); });
    EXPECT_EQ(c.receive(), 5);
    sender.join();
  });
}

}  // namespace
}  // namespace runnel::test
