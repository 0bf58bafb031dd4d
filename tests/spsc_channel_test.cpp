// The one-to-one flavour: the laws of channels (channel_test.cpp) for one sender and one receiver, and its own.
#include "support/fixture.hpp"

#include <memory>
#include <stdexcept>
#include <type_traits>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<send_channel<int, spsc>> && std::is_nothrow_move_constructible_v<send_channel<int, spsc>>);
static_assert(!std::is_copy_constructible_v<receive_channel<int, spsc>>);

class spsc_laws : public behaviour {};
RUNNEL_EVERY_CALLER(spsc_laws);

TEST_P(spsc_laws, values_arrive_in_the_order_in_which_they_were_sent) {
  in_runtime([] {
    for (std::size_t capacity : {1u, 2u, 7u, 64u, 1000u}) {
      auto ends = make_channel<std::unique_ptr<int>, spsc>(capacity);
      auto& tx = ends.tx;
      auto& rx = ends.rx;
      const int n = static_cast<int>(scaled(5'000));
      auto sender = start([&tx, n] {
        for (int i = 0; i < n; ++i) tx.send(std::make_unique<int>(i));
        auto last = std::move(tx);
      });
      int expected = 0;
      for (auto& v : rx) EXPECT_EQ(*v, expected++);
      EXPECT_EQ(expected, n);
      sender.join();
    }
  });
}

TEST_P(spsc_laws, empty_elements_are_counted) {
  in_runtime([] {
    auto ends = make_channel<unit, spsc>(3);
    auto& tx = ends.tx;
    auto& rx = ends.rx;
    auto sender = start([&tx] {
      for (int i = 0; i < 1000; ++i) tx.send(unit{});
      auto last = std::move(tx);
    });
    int n = 0;
    for (unit u : rx) n += u == unit{};
    EXPECT_EQ(n, 1000);
    sender.join();
  });
}

TEST_P(spsc_laws, a_chain_of_stages_that_move_between_workers_loses_nothing) {
  in_runtime([] {
    const int n = static_cast<int>(scaled(20'000));
    auto first = make_channel<int, spsc>(8);
    auto in = std::move(first.rx);
    with_task_group([&](task_group& g) {
      g.go([tx = std::move(first.tx), n] {
        for (int i = 0; i < n; ++i) {
          tx.send(i);
          if (i % 97 == 0) yield();
        }
      });
      for (int stage = 0; stage < 4; ++stage) {
        auto next = make_channel<int, spsc>(static_cast<std::size_t>(1 + stage * 5));
        g.go([rx = std::move(in), tx = std::move(next.tx)] {
          for (int v : rx) {
            tx.send(v + 1);
            if (v % 61 == 0) yield();
          }
        });
        in = std::move(next.rx);
      }
      int expected = 4;
      for (int v : in) EXPECT_EQ(v, expected++);
      EXPECT_EQ(expected, n + 4);
    });
  });
}

TEST_P(spsc_laws, receive_on_closed_drains_then_reports_closed) {
  in_runtime([] {
    auto ends = make_channel<int, spsc>(3);
    auto& tx = ends.tx;
    auto& rx = ends.rx;
    tx.send(1);
    tx.send(2);
    EXPECT_EQ(tx.size(), 2u);
    EXPECT_EQ(rx.capacity(), 3u);
    EXPECT_TRUE(tx.close());
    EXPECT_FALSE(tx.close());
    EXPECT_TRUE(rx.is_closed());
    EXPECT_EQ(rx.receive(), 1);
    EXPECT_EQ(rx.try_receive().value, 2);
    EXPECT_EQ(rx.receive(), std::nullopt);
    EXPECT_EQ(rx.try_receive().status, channel_status::closed);
    EXPECT_THROW(tx.send(3), channel_closed);
    EXPECT_EQ(tx.try_send(3), channel_status::closed);
  });
}

TEST_P(spsc_laws, the_receiver_gone_destroys_what_is_buffered_and_refuses_what_waits) {
  in_runtime([this] {
    auto ends = make_channel<std::shared_ptr<int>, spsc>(1);
    auto& tx = ends.tx;
    auto& rx = ends.rx;
    auto first = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = first;
    tx.send(std::move(first));
    auto blocked = start([&tx] {
      auto second = std::make_shared<int>(2);
      EXPECT_THROW(tx.send(std::move(second)), channel_closed);
      EXPECT_NE(second, nullptr) << "a failed send leaves the value alone";
    });
    until_waiting(1);
    { auto gone = std::move(rx); }
    EXPECT_TRUE(watched.expired());
    blocked.join();
  });
}

TEST_P(spsc_laws, forms_that_do_not_wait_say_why) {
  in_runtime([] {
    auto ends = make_channel<int, spsc>(1);
    auto& tx = ends.tx;
    auto& rx = ends.rx;
    EXPECT_EQ(rx.try_receive().status, channel_status::would_block);
    EXPECT_EQ(rx.receive_for(1ms).status, channel_status::timed_out);
    EXPECT_EQ(tx.try_send(1), channel_status::ok);
    EXPECT_EQ(tx.try_send(2), channel_status::would_block);
    EXPECT_EQ(tx.send_for(2, 1ms), channel_status::timed_out);
    EXPECT_EQ(rx.receive_for(1h).value, 1);
  });
}

TEST_P(spsc_laws, a_cancelled_wait_leaves_the_channel_usable) {
  in_runtime([this] {
    auto ends = make_channel<int, spsc>(1);
    auto& tx = ends.tx;
    auto& rx = ends.rx;
    auto [ctx, cancel] = derive_cancel(context::current());
    auto waiting = start([&rx, ctx = ctx] { EXPECT_THROW(rx.receive(ctx), canceled); });
    until_waiting(1);
    cancel();
    waiting.join();
    EXPECT_THROW(tx.send(ctx, 1), canceled) << "a canceled context is seen though there is room";
    tx.send(5);
    EXPECT_EQ(rx.receive(), 5);
  });
}

TEST_P(spsc_laws, batches_arrive_whole_and_in_order) {
  in_runtime([] {
    for (std::size_t capacity : {1u, 7u, 64u, 300u}) {
      auto ends = make_channel<int, spsc>(capacity);
      auto& tx = ends.tx;
      auto& rx = ends.rx;
      const std::size_t total = 1 + scaled(5'000);
      auto sender = start([&tx, total] {
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

TEST_P(spsc_laws, select_takes_its_cases_among_others) {
  in_runtime([] {
    const int n = static_cast<int>(scaled(2'000));
    auto ends_a = make_channel<int, spsc>(4);
    auto& a = ends_a.tx;
    auto& from_a = ends_a.rx;
    auto ends_b = make_channel<int>(4);
    auto& b = ends_b.tx;
    auto& from_b = ends_b.rx;
    auto ends_back = make_channel<int, spsc>(1);
    auto& back = ends_back.tx;
    auto& from_back = ends_back.rx;
    auto sender_a = start([&tx = a, n] {
      for (int i = 0; i < n; ++i) select(on_send(tx, int(i)));
      auto last = std::move(tx);
    });
    auto sender_b = start([&tx = b, n] {
      for (int i = 0; i < n; ++i) tx.send(i);
      auto last = std::move(tx);
    });
    auto reader = start([&rx = from_back] {
      for (int v : rx) EXPECT_GE(v, 0);
    });
    int open = 2, sum = 0;
    bool a_open = true, b_open = true;
    while (open > 0) {
      std::optional<int> v;
      const std::size_t chosen = select(on_receive(from_a, v).when(a_open), on_receive(from_b, v).when(b_open));
      if (!v) {
        (chosen == 0 ? a_open : b_open) = false;
        --open;
        continue;
      }
      sum += *v;
      select(on_send(back, int(*v)));
    }
    { auto last = std::move(back); }
    EXPECT_EQ(sum, n * (n - 1));
    sender_a.join();
    sender_b.join();
    reader.join();
  });
}

TEST_P(spsc_laws, a_selector_keeps_the_end_that_it_was_given) {
  in_runtime([] {
    auto ends = make_channel<int, spsc>(2);
    auto& tx = ends.tx;
    auto& rx = ends.rx;
    int got = 0;
    selector s;
    s.add(on_receive(std::move(rx), [&](std::optional<int> v) { got += v.value_or(100); }));
    tx.send(1);
    s.run();
    tx.send(2);
    s.run();
    EXPECT_EQ(got, 3);
    { auto last = std::move(tx); }
    s.run();
    EXPECT_EQ(got, 103);
  });
}

struct brittle {
  explicit brittle(int v) : value(v) {}
  brittle(brittle&& o) : value(o.value) {
    if (armed && value == 13) throw std::runtime_error("moved");
  }
  int value;
  static inline thread_local bool armed = false;
};

TEST_P(spsc_laws, a_move_that_throws_changes_nothing) {
  in_runtime([] {
    auto ends = make_channel<brittle, spsc>(2);
    auto& tx = ends.tx;
    auto& rx = ends.rx;
    brittle v(13);
    brittle::armed = true;
    EXPECT_THROW(tx.send(std::move(v)), std::runtime_error);
    brittle::armed = false;
    EXPECT_EQ(tx.size(), 0u);
    tx.send(std::move(v));
    brittle::armed = true;
    EXPECT_THROW(rx.receive(), std::runtime_error);
    brittle::armed = false;
    EXPECT_EQ(rx.receive()->value, 13);
  });
}

TEST(spsc_channel, a_capacity_of_nothing_and_one_of_everything_are_refused) {
  try {
    make_channel<int, spsc>(0);
    FAIL() << "no exception";
  } catch (const misuse& e) {
    EXPECT_NE(std::string_view(e.what()).find("capacity of 0"), std::string_view::npos) << e.what();
  }
  EXPECT_THROW((make_channel<int, spsc>(~std::size_t{0})), std::length_error);
}

TEST(spsc_channel, a_null_handle_is_refused) {
  send_channel<int, spsc> tx;
  receive_channel<int, spsc> rx;
  EXPECT_FALSE(tx);
  EXPECT_THROW(tx.send(1), misuse);
  EXPECT_THROW(rx.receive(), misuse);
  run([&] {
    EXPECT_EQ(select(on_receive(rx, [](std::optional<int>) {}), otherwise()), 1u) << "a null handle disables its case";
  });
}

#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
TEST(spsc_channel_death_test, two_receives_on_one_end_at_a_time_are_reported) {
  EXPECT_DEATH(run([] {
                 auto c = make_channel<int, spsc>(1);
                 auto first = go([&] { c.rx.receive(); });
                 auto second = go([&] { c.rx.receive(); });
                 first.get();
                 second.get();
               }),
               "two receives at the same time");
}
#endif

}  // namespace
}  // namespace runnel::test
