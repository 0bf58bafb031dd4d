// The laws of channels that every caller relies on; the behaviours of the originals stand in conformance/.
#include "fiber/sanitizer.hpp"
#include "support/fixture.hpp"

#include <array>
#include <atomic>
#include <stdexcept>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class channel_laws : public behaviour {
 protected:
  /// Waits until n parties are blocked, or all but the one with a time limit if that is over first.
  void until_waiting_or_over(std::size_t n, const std::atomic<bool>& over) const {
    while (!are_waiting(over ? n - 1 : n)) yield();
  }
};
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

TEST_P(channel_laws, elements_have_to_be_movable_not_assignable) {
  in_runtime([] {
    struct fixed {
      const int n;
    };
    channel<fixed> c(3);
    for (int i = 0; i < 3; ++i) c.send(fixed{i});
    c.close();
    int next = 0;
    for (const fixed& f : c) EXPECT_EQ(f.n, next++);
    EXPECT_EQ(next, 3);
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

constexpr const char* unordered =
    "nothing but the wait itself, which ThreadSanitizer cannot see, orders the use of the handle before its end";

TEST_P(channel_laws, a_parked_operation_outlives_the_last_handle) {
  if (detail::sanitizer::sees_edges) GTEST_SKIP() << unordered;
  in_runtime([this] {
    auto handle = std::make_unique<channel<std::unique_ptr<int>>>();
    auto [ctx, cancel] = derive_cancel(context::current());
    std::atomic<bool> over{false};
    auto limited = start([&c = *handle, &over] {
      EXPECT_EQ(c.receive_for(20ms).status, channel_status::timed_out);
      over = true;
    });
    auto canceled_one = start([&c = *handle, ctx = ctx] { EXPECT_THROW(c.receive(ctx), canceled); });
    auto selecting = start([&c = *handle, ctx = ctx] {
      const context_scope scope(ctx);
      EXPECT_THROW(select(on_receive(c, [](auto) {})), canceled);
    });
    until_waiting_or_over(3, over);
    handle.reset();
    cancel();
    limited.join();
    canceled_one.join();
    selecting.join();
  });
}

TEST_P(channel_laws, a_parked_sender_outlives_the_last_handle) {
  if (detail::sanitizer::sees_edges) GTEST_SKIP() << unordered;
  in_runtime([this] {
    auto handle = std::make_unique<channel<std::unique_ptr<int>>>(1);
    handle->send(std::make_unique<int>(1));  // goes with the channel
    std::atomic<bool> over{false};
    auto limited = start([&c = *handle, &over] {
      auto kept = std::make_unique<int>(2);
      EXPECT_EQ(c.send_for(std::move(kept), 20ms), channel_status::timed_out);
      EXPECT_NE(kept, nullptr);
      over = true;
    });
    until_waiting_or_over(1, over);
    handle.reset();
    limited.join();
  });
}

TEST_P(channel_laws, batches_arrive_whole_and_in_order) {
  in_runtime([] {
    for (std::size_t capacity : {0u, 1u, 7u, 64u, 300u}) {
      auto [tx, rx] = make_channel<int>(capacity);
      const std::size_t total = 1 + scaled(5'000);
      auto sender = start([tx = std::move(tx), total]() mutable {
        std::vector<int> batch;
        for (std::size_t next = 0; next < total;) {
          batch.clear();
          for (std::size_t k = 0; k < 1 + next % 150 && next < total; ++k) batch.push_back(static_cast<int>(next++));
          EXPECT_EQ(tx.send_n(batch), batch.size());
        }
        auto last = std::move(tx);
      });
      std::vector<int> got(97, -1);
      std::size_t n = 0;
      for (std::size_t came = got.size(); came == got.size();) {
        came = rx.receive_n(got);
        for (std::size_t i = 0; i < came; ++i) EXPECT_EQ(got[i], static_cast<int>(n++));
      }
      EXPECT_EQ(n, total);
      sender.join();
    }
  });
}

TEST_P(channel_laws, a_batch_serves_those_who_wait_first) {
  in_runtime([this] {
    channel<int> c(2);
    std::atomic<int> sum{0};
    std::vector<party> waiting;
    for (int i = 0; i < 3; ++i) waiting.push_back(start([&] { sum += c.receive().value(); }));
    until_waiting(3);
    std::array<int, 5> batch{1, 2, 4, 8, 16};
    EXPECT_EQ(c.send_n(batch), 5u);
    for (auto& p : waiting) p.join();
    EXPECT_EQ(sum, 7);
    EXPECT_EQ(c.size(), 2u);
    waiting.clear();
    waiting.push_back(start([&] { c.send(32); }));
    until_waiting(1);
    std::array<int, 3> out{};
    EXPECT_EQ(c.receive_n(out), 3u);
    EXPECT_EQ(out, (std::array<int, 3>{8, 16, 32}));
    waiting.front().join();
  });
}

/// Throws when it is assigned a value that says so.
struct touchy {
  int value = 0;
  touchy() = default;
  explicit touchy(int v) noexcept : value(v) {}
  touchy(touchy&& o) noexcept = default;
  touchy& operator=(touchy&& o) noexcept(false) {
    if (o.value == 2) throw std::runtime_error("not this one");
    value = o.value;
    return *this;
  }
};

TEST_P(channel_laws, an_assignment_that_throws_loses_its_own_value_only) {
  in_runtime([] {
    channel<touchy> c(4);
    for (int i = 1; i <= 3; ++i) c.send(touchy(i));
    std::array<touchy, 3> out;
    EXPECT_THROW(c.receive_n(out), std::runtime_error);
    EXPECT_EQ(out[0].value, 1);
    EXPECT_EQ(c.size(), 1u);
    EXPECT_EQ(c.receive()->value, 3);
  });
}

}  // namespace
}  // namespace runnel::test
