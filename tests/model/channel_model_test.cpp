// Channels: each value arrives once or stays with its sender, whoever sends, receives, closes, gives up or goes away.
#include "around/around.hpp"
#include "brittle.hpp"
#include "checker/expect.hpp"

#include "channel.hpp"

#include <runnel/context.hpp>

#include <optional>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using runnel::channel_status;
using runnel::time_point;
using runnel::detail::channel_core;
using runnel::detail::channel_wait;

constexpr time_point soon{std::chrono::nanoseconds(1000)};

/// A handle as senders and receivers have it: one reference, one counted end.
struct pipe {
  explicit pipe(std::size_t capacity) : core(runnel::detail::make_channel_core(runnel::detail::element_ops_of<int>::ops, capacity)) {}
  ~pipe() { runnel::detail::channel_release(core); }
  pipe(const pipe&) = delete;
  pipe& operator=(const pipe&) = delete;

  channel_status send(int v, time_point deadline = runnel::never) {
    return runnel::detail::channel_send(core, &v, channel_wait{true, deadline, nullptr});
  }
  std::optional<int> receive(time_point deadline = runnel::never) {
    std::optional<int> v;
    const channel_status s = runnel::detail::channel_receive(core, &v, channel_wait{true, deadline, nullptr});
    check((s == channel_status::ok) == v.has_value(), "a value without success, or the other way round");
    return v;
  }
  bool close() { return runnel::detail::channel_close(core); }

  channel_core* const core;
};

TEST(channel, a_rendezvous_hands_over) {
  expect_passes(explore(bounds{5, 3}, [] {
    around::world w;
    pipe p(0);
    int before = 0;
    model::thread sender([&] {
      before = 1;
      check(p.send(7) == channel_status::ok, "sent");
    });
    check(p.receive() == 7 && before == 1, "the value, and what came before it");
  }));
}

TEST(channel, a_buffer_of_one_keeps_the_order) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    pipe p(1);
    model::thread sender([&] {
      for (int i = 1; i <= 3; ++i) check(p.send(i) == channel_status::ok, "sent");
    });
    for (int i = 1; i <= 3; ++i) check(p.receive() == i, "the next");
  }));
}

TEST(channel, two_senders_and_one_receiver) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    pipe p(0);
    model::thread a([&] { check(p.send(1) == channel_status::ok, "sent"); });
    model::thread b([&] { check(p.send(2) == channel_status::ok, "sent"); });
    const auto first = p.receive(), second = p.receive();
    check(first && second && *first + *second == 3, "both, once each");
  }));
}

TEST(channel, one_sender_and_two_receivers_of_which_one_finds_it_closed) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    pipe p(1);
    std::optional<int> a, b;
    model::thread first([&] { a = p.receive(); });
    model::thread second([&] { b = p.receive(); });
    check(p.send(1) == channel_status::ok, "sent");
    p.close();
    first.join(), second.join();
    check(a.has_value() != b.has_value(), "one of them has it");
  }));
}

TEST(channel, close_lets_a_sender_go_with_its_value) {
  int outcomes = 0;
  expect_passes(explore(bounds{3, 1}, [&] {
    around::world w;
    pipe p(0);
    channel_status s{};
    model::thread sender([&] { s = p.send(1); });
    model::thread closer([&] { p.close(); });
    const std::optional<int> v = p.receive();
    sender.join(), closer.join();
    check((s == channel_status::ok) == v.has_value(), "lost, or there twice");
    outcomes |= v ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(channel, a_receiver_that_gives_up_takes_nothing) {
  int outcomes = 0;
  expect_passes(explore(bounds{3, 1}, [&] {
    around::world w;
    pipe p(0);
    channel_status s{};
    model::thread sender([&] { s = p.send(1, soon); });
    const std::optional<int> v = p.receive(soon);
    sender.join();
    check((s == channel_status::ok) == v.has_value(), "lost, or there twice");
    outcomes |= v ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(channel, a_canceled_receiver_takes_nothing) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    pipe p(0);
    runnel::derived_context d = runnel::derive_cancel(runnel::context::background());
    channel_status s{};
    bool canceled = false;
    std::optional<int> v;
    model::thread receiver([&] {
      try {
        runnel::detail::channel_receive(p.core, &v, channel_wait{true, runnel::never, &runnel::detail::node_of(d.ctx)});
      } catch (const runnel::canceled&) {
        canceled = true;
      }
    });
    model::thread canceler([&] { d.cancel.cancel(); });
    s = p.send(1, soon);
    receiver.join(), canceler.join();
    check(canceled != v.has_value(), "one of the two");
    check((s == channel_status::ok) == v.has_value(), "lost, or there twice");
    outcomes |= v ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(channel, a_cancellation_that_was_refused_during_a_throwing_move_is_made_up_for) {
  // The sender holds the receiver, its move throws. A cancellation that came meanwhile was refused: the receiver must look.
  int outcomes = 0;
  expect_passes(explore(bounds{3, 1}, [&] {
    around::world w;
    brittle::failures = 1;
    channel_core* core = runnel::detail::make_channel_core(runnel::detail::element_ops_of<brittle>::ops, 0);
    runnel::derived_context d = runnel::derive_cancel(runnel::context::background());
    bool canceled = false;
    std::optional<brittle> v;
    model::thread receiver([&] {
      try {
        runnel::detail::channel_receive(core, &v, channel_wait{true, runnel::never, &runnel::detail::node_of(d.ctx)});
      } catch (const runnel::canceled&) {
        canceled = true;
      }
    });
    model::thread canceler([&] { d.cancel.cancel(); });
    brittle mine;
    try {
      const channel_status s = runnel::detail::channel_send(core, &mine, channel_wait{false, runnel::never, nullptr});
      check(s == channel_status::would_block, "the first move throws");
      outcomes |= 1;
    } catch (int) {
      outcomes |= 2;
    }
    receiver.join(), canceler.join();
    check(canceled && !v, "canceled, with nothing");
    runnel::detail::channel_release(core);
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(channel, a_cancellation_of_a_sender_that_was_refused_is_made_up_for) {
  expect_passes(explore(bounds{3, 1}, [] {
    around::world w;
    brittle::failures = 1;
    channel_core* core = runnel::detail::make_channel_core(runnel::detail::element_ops_of<brittle>::ops, 0);
    runnel::derived_context d = runnel::derive_cancel(runnel::context::background());
    bool canceled = false;
    brittle mine;
    model::thread sender([&] {
      try {
        runnel::detail::channel_send(core, &mine, channel_wait{true, runnel::never, &runnel::detail::node_of(d.ctx)});
      } catch (const runnel::canceled&) {
        canceled = true;
      }
    });
    model::thread canceler([&] { d.cancel.cancel(); });
    std::optional<brittle> v;
    try {
      check(runnel::detail::channel_receive(core, &v, channel_wait{false, runnel::never, nullptr}) == channel_status::would_block,
            "the first move throws");
    } catch (int) {
    }
    sender.join(), canceler.join();
    check(canceled, "canceled");
    runnel::detail::channel_release(core);
  }));
}

TEST(channel, it_closes_behind_the_last_sender_that_goes) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    pipe p(2);
    runnel::detail::channel_add_sender(p.core);
    runnel::detail::channel_add_sender(p.core);
    int written[2] = {};
    const auto sender = [&](int i) {
      written[i] = 1;
      runnel::detail::channel_drop_sender(p.core);
    };
    model::thread a([&] { sender(0); });
    model::thread b([&] { sender(1); });
    check(!p.receive(), "nothing was sent");
    check(written[0] == 1 && written[1] == 1, "what every sender did happens before the close");
  }));
}

TEST(channel, what_nobody_receives_is_destroyed_with_the_last_receiver) {
  expect_passes(explore(bounds{3, 1}, [] {
    around::world w;
    pipe p(1);
    runnel::detail::channel_add_receiver(p.core);
    runnel::detail::channel_add_receiver(p.core);
    int written[2] = {};
    const auto receiver = [&](int i) {
      written[i] = 1;
      runnel::detail::channel_drop_receiver(p.core);
    };
    model::thread a([&] { receiver(0); });
    model::thread b([&] { receiver(1); });
    while (p.send(1, soon) == channel_status::timed_out) continue;
    if (runnel::detail::channel_is_closed(p.core))
      check(written[0] == 1 && written[1] == 1, "what every receiver did happens before the close");
    a.join(), b.join();
    check(runnel::detail::channel_size(p.core) == 0, "empty");
  }));
}

TEST(channel, the_last_reference_destroys_it) {
  expect_passes(explore(bounds{4, 4}, [] {
    around::world w;
    auto* core = runnel::detail::make_channel_core(runnel::detail::element_ops_of<int>::ops, 1);
    runnel::detail::channel_add_ref(core);
    const auto use = [core] {
      static_cast<void>(runnel::detail::channel_close(core));
      runnel::detail::channel_release(core);
    };
    model::thread t(use);
    use();
  }));
}

TEST(channel, the_last_reference_goes_while_a_receiver_gives_up) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    auto* core = runnel::detail::make_channel_core(runnel::detail::element_ops_of<int>::ops, 1);
    runnel::derived_context d = runnel::derive_cancel(runnel::context::background());
    bool canceled = false;
    model::thread receiver([&] {
      std::optional<int> v;
      try {
        runnel::detail::channel_receive(core, &v, channel_wait{true, runnel::never, &runnel::detail::node_of(d.ctx)});
      } catch (const runnel::canceled&) {
        canceled = true;
      }
    });
    model::thread canceler([&] { d.cancel.cancel(); });
    model::wait_until([&] { return canceled || core->receivers_waiting(); });  // then its handle may go,
    core->lock.lock();  // by who has learnt it in order: else the handle would go in a race
    core->lock.unlock();
    runnel::detail::channel_release(core);
    receiver.join();
    check(canceled, "canceled");
  }));
}

TEST(channel, a_batch_is_received_whole_by_who_waits) {
  for (const std::size_t capacity : {0u, 1u}) {
    expect_passes(explore(bounds{3, 2}, [capacity] {
      around::world w;
      pipe p(capacity);
      int before = 0;
      model::thread sender([&] {
        int values[2] = {1, 2};
        before = 1;
        check(runnel::detail::channel_send_n(p.core, values, sizeof(int), 2) == 2, "sent");
      });
      check(p.receive() == 1 && before == 1, "the first, and what came before it");
      check(p.receive() == 2, "the second");
    }));
  }
}

TEST(channel, what_is_received_in_a_batch_lets_senders_go) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    pipe p(1);
    const auto send = [&](int v) { check(p.send(v) == channel_status::ok, "sent"); };
    model::thread a([&] { send(1); });
    model::thread b([&] { send(2); });
    int sum = 0;
    for (int n = 0; n < 2;) {
      std::optional<int> values[2];
      const std::size_t came = runnel::detail::channel_receive_some(p.core, values, sizeof *values, 2);
      check(came > 0, "nobody closes it");
      for (std::size_t i = 0; i < came; ++i) sum += *values[i];
      n += static_cast<int>(came);
    }
    check(sum == 3, "both");
  }));
}

/// Cannot be moved when it is the second.
struct stubborn {
  int number = 0;
  explicit stubborn(int n) noexcept : number(n) {}
  stubborn(stubborn&& o) noexcept(false) : number(o.number) {
    if (number == 2) throw 1;
  }
};

TEST(channel, a_batch_that_throws_wakes_those_it_has_served) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    channel_core* core = runnel::detail::make_channel_core(runnel::detail::element_ops_of<stubborn>::ops, 1);
    model::thread receiver([&] {
      std::optional<stubborn> v;
      check(runnel::detail::channel_receive(core, &v, channel_wait{}) == channel_status::ok && v->number == 1, "the first");
    });
    stubborn values[2] = {stubborn(1), stubborn(2)};
    bool threw = false;
    try {
      runnel::detail::channel_send_n(core, values, sizeof(stubborn), 2);
    } catch (int) {
      threw = true;
    }
    check(threw, "the second cannot be moved");
    receiver.join();
    runnel::detail::channel_release(core);
  }));
}

}  // namespace
