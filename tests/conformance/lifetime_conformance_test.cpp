// Who keeps a channel alive, what dropping handles means, and what a handle is after it was moved from.
#include "support/fixture.hpp"

#include <runnel/signal.hpp>
#include <runnel/time.hpp>

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <string>
#include <utility>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class lifetime_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(lifetime_conformance);

// ---- 02: handles of blocked operations ---------------------------------------------------------------------------

TEST_P(lifetime_conformance, lifetime_02_blocked_senders_keep_the_channel_alive) {
  in_runtime([this] {
    channel<std::unique_ptr<int>> c;
    auto [ctx, cancel] = derive_cancel(context::current());
    std::vector<party> senders;
    for (int i = 0; i < 10; ++i)
      senders.push_back(start([c, i, ctx = ctx] {
        auto value = std::make_unique<int>(i);
        EXPECT_THROW(c.send(ctx, std::move(value)), canceled);
        EXPECT_TRUE(value && *value == i) << "what was not sent belongs to the sender";
      }));
    until_waiting(10);
    c = channel<std::unique_ptr<int>>(nullptr);
    cancel();
    for (auto& s : senders) s.join();
  });
}

TEST_P(lifetime_conformance, lifetime_02_the_last_receiver_gone_ends_blocked_senders) {
  in_runtime([this] {
    auto [tx, rx] = make_channel<std::unique_ptr<int>>();
    std::atomic<int> closed{0};
    std::vector<party> senders;
    for (int i = 0; i < 10; ++i)
      senders.push_back(start([&closed, tx = tx, i] {
        auto value = std::make_unique<int>(i);
        try {
          tx.send(std::move(value));
        } catch (const channel_closed&) {
          closed += value && *value == i;
        }
      }));
    tx = {};
    until_waiting(10);
    rx = {};
    for (auto& s : senders) s.join();
    EXPECT_EQ(closed, 10);
  });
}

TEST_P(lifetime_conformance, lifetime_02_the_last_sender_gone_ends_receivers_in_a_select) {
  in_runtime([this] {
    auto [tx, rx] = make_channel<std::unique_ptr<int>>();
    const channel<int> other;
    std::atomic<int> ended{0};
    std::vector<party> receivers;
    for (int i = 0; i < 10; ++i)
      receivers.push_back(start([&ended, other, rx = rx] {
        const std::size_t chosen = select(on_receive(other), on_receive(rx, [&](auto v) { ended += !v; }));
        EXPECT_EQ(chosen, 1u);
      }));
    rx = {};
    until_waiting(10);
    tx = {};
    for (auto& r : receivers) r.join();
    EXPECT_EQ(ended, 10);
  });
}

TEST_P(lifetime_conformance, lifetime_02_neighbour_a_receiver_destroys_the_handle_that_the_sender_uses) {
  in_runtime([] {
    for (std::size_t i = 0; i < scaled(2000); ++i) {
      auto handle = std::make_unique<channel<int>>();
      auto sender = start([&c = *handle] { c.send(1); });
      EXPECT_EQ(handle->receive(), 1);
      handle.reset();  // the send may still be on its way out
      sender.join();
    }
  });
}

// ---- 04: cancellation against delivery ---------------------------------------------------------------------------

/// 50 of 0..99.
std::vector<std::size_t> random_half(std::mt19937_64& random) {
  std::vector<std::size_t> all(100);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  std::shuffle(all.begin(), all.end(), random);
  all.resize(50);
  return all;
}

TEST_P(lifetime_conformance, lifetime_04_each_blocked_sender_is_received_or_canceled_never_both) {
  in_runtime([this] {
    std::mt19937_64 random(seed());
    for (std::size_t round = 0; round < scaled(20); ++round) {
      const channel<std::unique_ptr<std::size_t>> c(round % 3);
      std::vector<int> received(100), sent(100), returned(100);
      std::vector<derived_context> contexts;
      std::vector<party> senders;
      for (std::size_t i = 0; i < 100; ++i) contexts.push_back(derive_cancel(context::current()));
      for (std::size_t i = 0; i < 100; ++i)
        senders.push_back(start([&, i] {
          auto value = std::make_unique<std::size_t>(i);
          try {
            c.send(contexts[i].ctx, std::move(value));
            sent[i] = 1;
          } catch (const canceled&) {
            returned[i] = value && *value == i;
          }
        }));
      until_waiting(100 - c.capacity());
      auto receiver = start([&] {
        for (const auto& v : c) ++received[*v];
      });
      for (const std::size_t i : random_half(random)) contexts[i].cancel();
      for (auto& s : senders) s.join();
      c.close();
      receiver.join();
      for (std::size_t i = 0; i < 100; ++i) {
        EXPECT_EQ(received[i] + returned[i], 1) << "sender " << i;
        EXPECT_EQ(received[i], sent[i]) << "sender " << i;
      }
    }
  });
}

TEST_P(lifetime_conformance, lifetime_04_neighbour_no_value_is_lost_with_canceled_receivers) {
  in_runtime([this] {
    std::mt19937_64 random(seed());
    for (std::size_t round = 0; round < scaled(20); ++round) {
      const channel<std::size_t> c;
      std::atomic<std::size_t> received{0};
      std::vector<derived_context> contexts;
      std::vector<party> receivers;
      for (std::size_t i = 0; i < 100; ++i) contexts.push_back(derive_cancel(context::current()));
      for (std::size_t i = 0; i < 100; ++i)
        receivers.push_back(start([&, i] {
          try {
            while (c.receive(contexts[i].ctx)) ++received;
          } catch (const canceled&) {
          }
        }));
      until_waiting(100);
      std::size_t sent = 0;
      auto sender = start([&] {
        for (; sent < 200; ++sent) c.send(sent);
      });
      for (const std::size_t i : random_half(random)) contexts[i].cancel();
      sender.join();
      c.close();
      for (auto& r : receivers) r.join();
      EXPECT_EQ(received, 200u);
    }
  });
}

// ---- 08: elements that hold ends ---------------------------------------------------------------------------------

struct letter {
  explicit letter(send_channel<letter> answer) : reply(std::make_unique<send_channel<letter>>(std::move(answer))) { ++live; }
  letter(letter&& o) noexcept : reply(std::move(o.reply)) { ++live; }
  ~letter() { --live; }
  std::unique_ptr<send_channel<letter>> reply;  // clang 14 wants a complete type for an end itself
  static inline std::atomic<int> live{0};
};

TEST_P(lifetime_conformance, lifetime_08_dropping_the_receiver_breaks_a_cycle_through_the_buffer) {
  in_runtime([] {
    {
      auto [tx, rx] = make_channel<letter>(4);
      for (int i = 0; i < 3; ++i) tx.send(letter(tx));
      tx = {};
      EXPECT_FALSE(rx.is_closed()) << "the letters hold senders";
      EXPECT_EQ(letter::live, 3);
    }
    EXPECT_EQ(letter::live, 0);
    {
      auto [tx, rx] = make_channel<letter>(4);
      tx.send(letter(tx));
      tx.close();
      EXPECT_EQ(letter::live, 1) << "what is buffered can still be received";
      tx = {};
    }
    EXPECT_EQ(letter::live, 0);
  });
}

TEST_P(lifetime_conformance, lifetime_08_a_sender_of_another_channel_goes_with_the_element) {
  in_runtime([] {
    auto [tx, rx] = make_channel<letter>(1);
    auto [other_tx, other_rx] = make_channel<letter>(1);
    tx.send(letter(std::move(other_tx)));
    auto waiting = start([rx = std::move(other_rx)] { EXPECT_FALSE(rx.receive()); });
    rx = {};  // destroys the letter, and so the last sender of the other channel
    waiting.join();
    EXPECT_EQ(letter::live, 0);
  });
}

TEST_P(lifetime_conformance, lifetime_08_neighbour_a_receiver_of_another_channel_goes_with_the_element) {
  in_runtime([this] {
    auto [tx, rx] = make_channel<receive_channel<int>>(1);
    auto [other_tx, other_rx] = make_channel<int>();
    tx.send(std::move(other_rx));
    auto blocked = start([t = std::move(other_tx)] { EXPECT_THROW(t.send(1), channel_closed); });
    until_waiting(1);
    rx = {};
    blocked.join();
  });
}

// ---- 20: handles that were moved from ----------------------------------------------------------------------------

template <class T>
void swap_with_itself(T& t) {
  T& same = t;
  std::swap(t, same);
  same = std::move(t);
}

TEST_P(lifetime_conformance, lifetime_20_channel_handles_that_were_moved_from) {
  in_runtime([] {
    channel<int> c(1);
    swap_with_itself(c);
    c.send(1);
    const channel<int> kept = std::move(c);
    EXPECT_FALSE(c);
    EXPECT_THROW(c.send(1), misuse);
    EXPECT_THROW(c.try_receive(), misuse);
    EXPECT_THROW(static_cast<void>(c.size()), misuse);
    EXPECT_THROW(c.close(), misuse);
    EXPECT_EQ(select(on_receive(c), on_send(c, 1), otherwise()), 2u) << "a null handle disables its case";
    EXPECT_EQ(kept.receive(), 1);

    auto [tx, rx] = make_channel<int>(1);
    swap_with_itself(tx);
    swap_with_itself(rx);
    EXPECT_FALSE(rx.is_closed());
    const send_channel<int> kept_tx = std::move(tx);
    EXPECT_FALSE(tx);
    EXPECT_THROW(tx.try_send(1), misuse);
    EXPECT_THROW(static_cast<void>(tx.is_closed()), misuse);
    kept_tx.send(2);
    const receive_channel<int> kept_rx = std::move(rx);
    EXPECT_FALSE(rx);
    EXPECT_THROW(rx.receive(), misuse);
    EXPECT_THROW(static_cast<void>(rx.begin()), misuse);
    EXPECT_EQ(kept_rx.receive(), 2);
  });
}

TEST_P(lifetime_conformance, lifetime_20_tasks_and_contexts_that_were_moved_from) {
  in_runtime([] {
    task<int> t = go([] { return 1; });
    swap_with_itself(t);
    task<int> kept = std::move(t);
    EXPECT_FALSE(t.valid());
    EXPECT_FALSE(t.done());
    EXPECT_THROW(t.get(), misuse);
    t.cancel();
    EXPECT_EQ(kept.get(), 1);

    auto [ctx, cancel] = derive_cancel(context::current());
    swap_with_itself(ctx);
    swap_with_itself(cancel);
    EXPECT_FALSE(ctx.is_canceled()) << "swapping is no cancellation";
    const context kept_ctx = std::move(ctx);
    EXPECT_THROW(static_cast<void>(ctx.is_canceled()), misuse);
    EXPECT_THROW(ctx.check(), misuse);
    EXPECT_THROW(derive_cancel(ctx), misuse);
    EXPECT_THROW(context_scope{ctx}, misuse);
    cancel_handle kept_cancel = std::move(cancel);
    cancel();
    EXPECT_FALSE(kept_ctx.is_canceled()) << "a moved-from handle does nothing";
    kept_cancel();
    EXPECT_TRUE(kept_ctx.is_canceled());
  });
}

TEST_P(lifetime_conformance, lifetime_20_timers_that_were_moved_from) {
  in_runtime([] {
    timer t(1h);
    swap_with_itself(t);
    timer kept = std::move(t);
    EXPECT_FALSE(t);
    EXPECT_THROW(t.stop(), misuse);
    EXPECT_THROW(t.reset(1s), misuse);
    EXPECT_THROW(t.receive(), misuse);
    EXPECT_TRUE(kept.stop()) << "still pending";
    timer other(1h);
    kept = std::move(other);
    EXPECT_THROW(other.stop(), misuse) << "nothing of the timer that was overwritten is left in it";
    EXPECT_TRUE(kept.stop());

    ticker ticks(1ms);
    swap_with_itself(ticks);
    ticker kept_ticks = std::move(ticks);
    EXPECT_FALSE(ticks);
    EXPECT_THROW(ticks.stop(), misuse);
    EXPECT_THROW(ticks.try_receive(), misuse);
    EXPECT_TRUE(kept_ticks.receive());
  });
}

TEST_P(lifetime_conformance, lifetime_20_neighbour_after_func_signal_channel_and_selector) {
  in_runtime([] {
    auto [ctx, cancel] = derive_cancel(context::current());
    const channel<int> ran;
    after_func_handle h = after_func(ctx, [ran] { ran.send(1); });
    swap_with_itself(h);
    after_func_handle kept = std::move(h);
    EXPECT_FALSE(h.stop());
    cancel();
    EXPECT_EQ(ran.receive(), 1);
    EXPECT_FALSE(kept.stop());

    signal_channel signals(SIGUSR1);
    swap_with_itself(signals);
    const signal_channel kept_signals = std::move(signals);
    EXPECT_FALSE(signals);
    EXPECT_THROW(signals.receive(), misuse);
    kill(getpid(), SIGUSR1);  // raise() would ask the worker, which blocks it
    EXPECT_EQ(kept_signals.receive(), SIGUSR1);
    signal_channel others(SIGUSR2);
    others = signal_channel(SIGUSR1);
    struct sigaction action {};
    sigaction(SIGUSR2, nullptr, &action);
    EXPECT_EQ(action.sa_handler, SIG_DFL) << "the signals of the one that was overwritten are its former owner's again";

    selector s;
    bool timed_out = false;
    s.add(on_timeout(0s, [&] { timed_out = true; }));
    selector kept_selector = std::move(s);
    EXPECT_EQ(s.size(), 0u);
    EXPECT_EQ(kept_selector.run(), 0u);
    EXPECT_TRUE(timed_out);
  });
}

}  // namespace
}  // namespace runnel::test
