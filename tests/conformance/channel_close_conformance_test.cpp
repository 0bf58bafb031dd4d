// The end of channels: closing by hand and by ownership, what is left inside, what is seen afterwards.
#include "support/fixture.hpp"

#include <algorithm>
#include <atomic>
#include <optional>
#include <stdexcept>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class channel_close_conformance : public behaviour {
 protected:
  /// Somebody writes and closes; the caller waits in its way until it sees that, and reads.
  template <class Wait>
  static void closes_with_data(Wait wait) {
    for (std::size_t i = 0; i < scaled(200); ++i) {
      channel<int> c(i % 2);
      std::size_t data = 0;  // not atomic: the close is what orders it
      auto closer = start([&data, c, i] {
        if (i % 3 == 0) yield();
        data = i + 1;
        c.close();
      });
      wait(c);
      EXPECT_EQ(data, i + 1);
      closer.join();
    }
  }
};
RUNNEL_EVERY_CALLER(channel_close_conformance);

void join_all(std::vector<party>& parties) {
  for (auto& p : parties) p.join();
}

// ---- 04: closing wakes everybody

TEST_P(channel_close_conformance, channel_04_close_releases_every_waiting_receiver_once) {
  in_runtime([this] {
    for (std::size_t capacity : {0u, 7u}) {
      channel<int> c(capacity);
      std::atomic<int> ended{0}, with_value{0};
      std::vector<party> receivers;
      for (int i = 0; i < 100; ++i)
        receivers.push_back(start([&, c] {
          if (c.receive()) ++with_value;
          ++ended;
        }));
      until_waiting(100);
      EXPECT_EQ(ended, 0);
      EXPECT_TRUE(c.close());
      join_all(receivers);
      EXPECT_EQ(ended, 100);
      EXPECT_EQ(with_value, 0);
    }
  });
}

TEST_P(channel_close_conformance, channel_04_neighbour_the_last_sender_gone_releases_every_waiting_receiver_once) {
  in_runtime([this] {
    for (std::size_t capacity : {0u, 7u}) {
      auto [tx, rx] = make_channel<int>(capacity);
      std::atomic<int> ended{0}, with_value{0};
      std::vector<party> receivers;
      for (int i = 0; i < 50; ++i)
        receivers.push_back(start([&ended, &with_value, rx = rx] {
          for (int v : rx) with_value += v;
          ++ended;
        }));
      until_waiting(50);
      auto copy = tx;
      tx = {};
      EXPECT_FALSE(rx.is_closed());
      EXPECT_EQ(ended, 0);
      copy = {};
      join_all(receivers);
      EXPECT_EQ(ended, 50);
      EXPECT_EQ(with_value, 0);
    }
  });
}

TEST_P(channel_close_conformance, channel_04_neighbour_close_releases_every_waiting_sender_with_its_value) {
  in_runtime([this] {
    for (std::size_t capacity : {0u, 7u}) {
      channel<std::unique_ptr<int>> c(capacity);
      for (std::size_t i = 0; i < capacity; ++i) c.send(std::make_unique<int>(-1));
      std::atomic<int> refused{0};
      std::vector<party> senders;
      for (int i = 0; i < 50; ++i)
        senders.push_back(start([&, c, i] {
          auto v = std::make_unique<int>(i);
          EXPECT_THROW(c.send(std::move(v)), channel_closed);
          EXPECT_TRUE(v && *v == i);
          ++refused;
        }));
      until_waiting(50);
      c.close();
      join_all(senders);
      EXPECT_EQ(refused, 50);
      std::size_t drained = 0;
      for (auto& v : c) {
        EXPECT_EQ(*v, -1);
        ++drained;
      }
      EXPECT_EQ(drained, capacity);
    }
  });
}

// ---- 12: a closed channel

TEST_P(channel_close_conformance, channel_12_a_closed_channel_answers_every_style_the_same_every_time) {
  in_runtime([] {
    for (std::size_t capacity : {0u, 1u, 10u}) {
      const channel<int> c(capacity), never(0);
      c.close();
      for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(c.receive(), std::nullopt);
        EXPECT_EQ(c.try_receive().status, channel_status::closed);
        std::optional<int> got = 5;
        EXPECT_EQ(select(on_receive(c, got)), 0u);
        EXPECT_EQ(got, std::nullopt);
        got = 5;
        EXPECT_EQ(select(on_receive(never), on_receive(c, got)), 1u);
        EXPECT_EQ(got, std::nullopt);
        EXPECT_EQ(select(on_receive(c), otherwise()), 0u);

        EXPECT_THROW(c.send(7), channel_closed);
        EXPECT_THROW(select(on_send(c, 7)), channel_closed);
        EXPECT_THROW(select(on_receive(never), on_send(c, 7)), channel_closed);
        EXPECT_THROW(select(on_send(c, 7), otherwise()), channel_closed);
        EXPECT_EQ(c.try_send(7), channel_status::closed);
        EXPECT_EQ(c.send_for(7, 1h), channel_status::closed);
      }
      EXPECT_EQ(c.size(), 0u);
      EXPECT_EQ(c.receive(), std::nullopt);
    }
  });
}

TEST_P(channel_close_conformance, channel_12_neighbour_what_was_sent_before_the_close_comes_first_in_every_style) {
  in_runtime([] {
    channel<int> c(10);
    for (int i = 0; i < 6; ++i) c.send(i);
    c.close();
    std::vector<int> refused = {7, 8, 9};
    EXPECT_EQ(c.send_n(refused), 0u);
    EXPECT_THROW(c.send(7), channel_closed);
    EXPECT_EQ(c.receive(), 0);
    EXPECT_EQ(c.try_receive().value, 1);
    std::optional<int> got;
    EXPECT_EQ(select(on_receive(c, got)), 0u);
    EXPECT_EQ(got, 2);
    EXPECT_EQ(c.receive_for(1h).value, 3);
    std::vector<int> rest(5, -1);
    EXPECT_EQ(c.receive_n(rest), 2u);
    EXPECT_EQ(rest, (std::vector<int>{4, 5, -1, -1, -1}));
    EXPECT_EQ(c.receive_n(rest), 0u);
    for (int v : c) ADD_FAILURE() << v;
  });
}

// ---- 14: close, and handles of nothing

TEST_P(channel_close_conformance, channel_14_close_counts_once_and_needs_a_channel) {
  in_runtime([] {
    channel<int> c(1);
    c.send(1);
    EXPECT_TRUE(c.close());
    EXPECT_FALSE(c.close());
    EXPECT_EQ(c.receive(), 1);
    EXPECT_EQ(c.receive(), std::nullopt);
    channel<int> moved = std::move(c);
    EXPECT_THROW(c.close(), misuse);
    EXPECT_FALSE(moved.close());
    EXPECT_THROW(channel<int>(nullptr).close(), misuse);
    EXPECT_THROW(send_channel<int>().close(), misuse);
    auto [tx, rx] = make_channel<int>();
    auto tx2 = std::move(tx);
    EXPECT_THROW(tx.close(), misuse);
    EXPECT_TRUE(tx2.close());
    EXPECT_FALSE(tx2.close());
    EXPECT_TRUE(rx.is_closed());
  });
}

TEST_P(channel_close_conformance, channel_14_neighbour_every_operation_of_a_null_handle_is_misuse_and_changes_nothing) {
  in_runtime([] {
    const channel<std::unique_ptr<int>> null = nullptr;
    EXPECT_FALSE(static_cast<bool>(null));
    auto v = std::make_unique<int>(1);
    EXPECT_THROW(null.send(std::move(v)), misuse);
    EXPECT_THROW(null.send(context::current(), std::move(v)), misuse);
    EXPECT_THROW(null.try_send(std::move(v)), misuse);
    EXPECT_THROW(null.send_for(std::move(v), 1h), misuse);
    EXPECT_THROW(null.send_until(std::move(v), never), misuse);
    EXPECT_NE(v, nullptr);
    EXPECT_THROW(null.send_n({&v, 1}), misuse);
    EXPECT_NE(v, nullptr);
    EXPECT_THROW(null.receive(), misuse);
    EXPECT_THROW(null.receive(context::current()), misuse);
    EXPECT_THROW(null.try_receive(), misuse);
    EXPECT_THROW(null.receive_for(1h), misuse);
    EXPECT_THROW(null.receive_until(never), misuse);
    EXPECT_THROW(null.receive_n({&v, 1}), misuse);
    EXPECT_THROW(null.begin(), misuse);
    EXPECT_THROW(static_cast<void>(null.size()), misuse);
    EXPECT_THROW(static_cast<void>(null.capacity()), misuse);
    EXPECT_THROW(static_cast<void>(null.is_closed()), misuse);
    EXPECT_THROW(receive_channel<int>().receive(), misuse);
    EXPECT_THROW(send_channel<int>(channel<int>(nullptr)).send(1), misuse) << "a null handle converts to a null end";
    EXPECT_THROW(channel<std::uint64_t>(~std::size_t{0}), std::length_error);
  });
}

// ---- 22: what is seen with the close

TEST_P(channel_close_conformance, channel_22_what_was_written_before_close_is_visible_to_who_sees_it) {
  in_runtime([] {
    closes_with_data([](auto& c) { EXPECT_EQ(c.receive(), std::nullopt); });
    closes_with_data([](auto& c) {
      for (int v : c) ADD_FAILURE() << v;
    });
    closes_with_data([](auto& c) {
      while (c.try_receive().status != channel_status::closed) yield();
    });
    closes_with_data([](auto& c) {
      while (c.receive_for(1ns).status != channel_status::closed) yield();
    });
    closes_with_data([](auto& c) { select(on_receive(c)); });
    closes_with_data([](auto& c) {
      while (select(on_receive(c), otherwise()) == 1) yield();
    });
  });
}

TEST_P(channel_close_conformance, channel_22_neighbour_a_refused_sender_and_is_closed_see_it_too) {
  in_runtime([] {
    closes_with_data([](auto& c) {
      while (!c.is_closed()) yield();
    });
    closes_with_data([](auto& c) {
      EXPECT_THROW(for (;;) c.send(1), channel_closed);
    });
    closes_with_data([](auto& c) {
      while (c.try_send(1) != channel_status::closed) yield();
    });
    closes_with_data([](auto& c) {
      EXPECT_THROW(for (;;) select(on_send(c, 1)), channel_closed);
    });
  });
}

TEST_P(channel_close_conformance, channel_22_neighbour_what_was_written_before_the_last_end_went_is_visible) {
  in_runtime([] {
    for (std::size_t i = 0; i < scaled(300); ++i) {
      auto [tx, rx] = make_channel<int>();
      std::size_t data[2] = {0, 0};
      std::vector<party> writers;
      const bool sender_sees = i % 2 == 0;
      for (std::size_t n = 0; n < 2; ++n) {
        if (sender_sees) {
          writers.push_back(start([&d = data[n], i, rx = rx]() mutable {
            d = i + 1;
            rx = {};
          }));
        } else {
          writers.push_back(start([&d = data[n], i, tx = tx]() mutable {
            d = i + 1;
            tx = {};
          }));
        }
      }
      if (sender_sees) {
        rx = {};
        EXPECT_THROW(tx.send(1), channel_closed);
      } else {
        tx = {};
        EXPECT_EQ(rx.receive(), std::nullopt);
      }
      EXPECT_EQ(data[0], i + 1);
      EXPECT_EQ(data[1], i + 1);
      join_all(writers);
    }
  });
}

}  // namespace
}  // namespace runnel::test
