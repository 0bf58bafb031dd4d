// One-to-one channels: each value arrives once and nobody is left waiting, on whatever threads the two sides run.
#include "around/around.hpp"
#include "brittle.hpp"
#include "checker/expect.hpp"

#include <runnel/base/heavy_fence.hpp>

#include <runnel/channel.hpp>
#include <runnel/select.hpp>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using runnel::channel_status;
using runnel::make_channel;
using runnel::spsc;

constexpr runnel::time_point soon{std::chrono::nanoseconds(1000)};

TEST(spsc, values_arrive_in_order_over_a_buffer_of_one) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    auto c = make_channel<int, spsc>(1);
    int before = 0;
    model::thread sender([&] {
      before = 1;
      c.tx.send(1);
      c.tx.send(2);
    });
    check(c.rx.receive() == 1 && before == 1, "the first, and what came before it");
    check(c.rx.receive() == 2, "the second");
  }));
}

TEST(spsc, the_receive_comes_before_the_send_that_it_made_room_for) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    auto c = make_channel<int, spsc>(1);
    int before = 0;
    c.tx.send(1);
    model::thread receiver([&] {
      before = 1;
      check(c.rx.receive() == 1, "received");
    });
    c.tx.send(2);
    check(before == 1, "what came before the receive");
    receiver.join();
    check(c.rx.try_receive().value == 2, "the second");
  }));
}

TEST(spsc, a_side_that_moves_to_another_thread_still_finds_who_waits) {
  // Both sides have run here: nobody needs a heavy fence. Then the sender goes elsewhere.
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    auto c = make_channel<int, spsc>(2);
    c.tx.send(1);
    check(c.rx.receive() == 1, "the first");
    model::thread sender([&] { c.tx.send(2); });
    check(c.rx.receive() == 2, "the second");
  }));
}

TEST(spsc, a_receiver_that_moves_to_another_thread_still_finds_who_waits) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    auto c = make_channel<int, spsc>(1);
    c.tx.send(1);
    check(c.rx.receive() == 1, "the first");
    c.tx.send(2);
    model::thread receiver([&] { check(c.rx.receive() == 2, "the second"); });
    c.tx.send(3);
    receiver.join();
    check(c.rx.receive() == 3, "the third");
  }));
}

TEST(spsc, without_a_heavy_fence_both_sides_execute_one_of_their_own) {
  runnel::detail::heavy_fence_forbidden = true;
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    auto c = make_channel<int, spsc>(1);
    model::thread sender([&] {
      c.tx.send(1);
      c.tx.send(2);
    });
    check(c.rx.receive() == 1, "the first");
    check(c.rx.receive() == 2, "the second");
  }));
  runnel::detail::heavy_fence_forbidden = false;
}

TEST(spsc, a_side_that_was_asked_executes_fences_from_then_on) {
  // The receiver waits for a sender elsewhere, which is asked then; when it waits again it relies on the answer.
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    auto c = make_channel<int, spsc>(4);
    model::thread sender([&] {
      for (int i = 1; i <= 3; ++i) c.tx.send(i);
    });
    for (int i = 1; i <= 3; ++i) check(c.rx.receive() == i, "in order");
  }));
}

TEST(spsc, close_ends_a_wait_and_loses_nothing) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    auto c = make_channel<int, spsc>(2);
    int before = 0;
    model::thread sender([&] {
      c.tx.send(1);
      before = 1;
      c.tx.close();
    });
    check(c.rx.receive() == 1, "what was sent before the close");
    check(c.rx.receive() == std::nullopt && before == 1, "then the end, and what came before it");
  }));
}

/// Counts how many exist.
struct counted {
  counted() noexcept { count(1); }
  counted(counted&&) noexcept { count(1); }
  ~counted() { count(-1); }
  // relaxed: read when all is over
  static void count(int n) noexcept { alive.fetch_add(n, runnel::shim::order::relaxed); }
  static int left() noexcept { return alive.load(runnel::shim::order::relaxed); }
  static inline runnel::shim::atomic<int> alive{0};
};

TEST(spsc, what_is_sent_while_the_receiver_goes_away_is_destroyed) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    auto c = make_channel<counted, spsc>(2);
    c.tx.send(counted());
    model::thread receiver([rx = &c.rx] { *rx = {}; });
    channel_status s;
    {
      counted second;
      s = c.tx.try_send(std::move(second));
    }
    check(s == channel_status::ok || s == channel_status::closed, "there was room");
    receiver.join();
    check(counted::left() == 0, "an element is left in a channel without a receiver");
  }));
}

TEST(spsc, the_second_end_takes_the_channel_with_it) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto c = make_channel<counted, spsc>(2);
    model::thread sender([tx = &c.tx] {
      static_cast<void>(tx->try_send(counted()));
      check(tx->size() <= 1, "what is there");
      *tx = {};
    });
    c.rx = {};
    sender.join();
    check(counted::left() == 0, "an element is left");
  }));
}

TEST(spsc, the_receiver_gone_ends_a_waiting_send) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    auto c = make_channel<int, spsc>(1);
    c.tx.send(1);
    model::thread receiver([rx = &c.rx] { *rx = {}; });
    check(c.tx.send_until(2, runnel::never) == channel_status::closed, "closed");
  }));
}

TEST(spsc, a_time_out_takes_nothing_with_it) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 2}, [&] {
    around::world w;
    auto c = make_channel<int, spsc>(1);
    model::thread sender([&] { c.tx.send(1); });
    const auto first = c.rx.receive_until(soon);
    sender.join();
    if (first) {
      check(first.value == 1, "received");
      outcomes |= 1;
    } else {
      check(first.status == channel_status::timed_out && c.rx.try_receive().value == 1, "it is still there");
      outcomes |= 2;
    }
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(spsc, a_cancellation_takes_nothing_with_it) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    auto c = make_channel<int, spsc>(1);
    auto limited = runnel::derive_cancel(runnel::context::background());
    model::thread canceler([&] { limited.cancel.cancel(); });
    model::thread sender([&] { c.tx.send(1); });
    bool received = false;
    try {
      received = c.rx.receive(limited.ctx) == 1;
    } catch (const runnel::canceled&) {
    }
    sender.join(), canceler.join();
    check(received || c.rx.try_receive().value == 1, "it is still there");
  }));
}

TEST(spsc, a_select_finds_what_is_sent_while_it_registers) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    auto a = make_channel<int, spsc>(1);
    auto b = make_channel<int, spsc>(1);
    model::thread sender([&] { b.tx.send(7); });
    std::optional<int> from_a, from_b;
    check(runnel::select(runnel::on_receive(a.rx, from_a), runnel::on_receive(b.rx, from_b)) == 1 && from_b == 7, "b");
  }));
}

TEST(spsc, a_select_sends_when_there_is_room_again) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    auto c = make_channel<int, spsc>(1);
    c.tx.send(1);
    model::thread receiver([&] {
      check(c.rx.receive() == 1, "the first");
      check(c.rx.receive() == 2, "the second");
    });
    check(runnel::select(runnel::on_send(c.tx, 2)) == 0, "sent");
  }));
}

}  // namespace
