// Channels as their originals promise them: who blocks, who is served, what a handle may do.
#include "support/fixture.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class channel_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(channel_conformance);

std::size_t stride(std::size_t count) { return std::max<std::size_t>(1, count / scaled(count)); }

// ---- 02: full and empty

TEST_P(channel_conformance, channel_02_send_to_full_blocks_until_one_receive) {
  in_runtime([this] {
    for (std::size_t capacity = 0; capacity < 200; capacity += stride(200)) {
      channel<std::size_t> c(capacity);
      for (std::size_t i = 0; i < capacity; ++i) c.send(i);
      std::atomic<bool> returned{false};
      auto sender = start([c, capacity, &returned] {
        c.send(capacity);
        returned = true;
      });
      until_waiting(1);
      EXPECT_FALSE(returned);
      EXPECT_EQ(c.try_send(1000), channel_status::would_block);
      EXPECT_EQ(c.size(), capacity);
      EXPECT_EQ(c.receive(), std::size_t{0});
      sender.join();
      for (std::size_t i = 1; i <= capacity; ++i) EXPECT_EQ(c.receive(), i);
      EXPECT_EQ(c.try_receive().status, channel_status::would_block);
    }
  });
}

TEST_P(channel_conformance, channel_02_neighbour_one_receive_releases_only_the_first_of_several_blocked_senders) {
  in_runtime([this] {
    for (std::size_t capacity : {0u, 1u, 5u, 300u}) {
      channel<std::size_t> c(capacity);
      for (std::size_t i = 0; i < capacity; ++i) c.send(i);
      std::array<std::atomic<bool>, 3> returned{};
      std::vector<party> senders;
      for (std::size_t i = 0; i < 3; ++i) {
        senders.push_back(start([c, capacity, i, &returned] {
          c.send(capacity + i);
          returned[i] = true;
        }));
        until_waiting(i + 1);
      }
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(c.receive(), i);
        senders[i].join();
        until_waiting(2 - i);
        for (std::size_t later = i + 1; later < 3; ++later) EXPECT_FALSE(returned[later]);
        EXPECT_EQ(c.size(), capacity);
      }
      for (std::size_t i = 3; i < capacity + 3; ++i) EXPECT_EQ(c.try_receive().value, i);
    }
  });
}

TEST_P(channel_conformance, channel_02_neighbour_receive_from_empty_blocks_until_one_send) {
  in_runtime([this] {
    for (std::size_t capacity : {0u, 1u, 5u, 300u}) {
      channel<int> c(capacity);
      std::array<std::atomic<bool>, 3> returned{};
      std::vector<party> receivers;
      for (std::size_t i = 0; i < 3; ++i) {
        receivers.push_back(start([c, i, &returned] {
          EXPECT_EQ(c.receive(), static_cast<int>(i));
          returned[i] = true;
        }));
        until_waiting(i + 1);
      }
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(c.try_receive().status, channel_status::would_block);
        EXPECT_EQ(c.try_send(static_cast<int>(i)), channel_status::ok);
        receivers[i].join();
        until_waiting(2 - i);
        for (std::size_t later = i + 1; later < 3; ++later) EXPECT_FALSE(returned[later]);
        EXPECT_EQ(c.size(), 0u);
      }
    }
  });
}

// ---- 10: values in the frames of who waits

struct block {
  std::array<std::uint64_t, 32> words;
};
block pattern(std::uint64_t n) {
  block b;
  for (std::size_t i = 0; i < b.words.size(); ++i) b.words[i] = n * 1000 + i;
  return b;
}
bool intact(const block& b, std::uint64_t n) { return b.words == pattern(n).words; }

/// Overwrites a good part of the stack below the caller.
std::uint64_t dig(unsigned depth) {
  volatile std::uint64_t waste[64];
  for (auto& w : waste) w = 0xdeadbeef;
  return depth == 0 ? waste[0] : dig(depth - 1) + waste[depth % 64];
}

TEST_P(channel_conformance, channel_10_the_value_of_a_blocked_sender_is_read_before_the_sender_goes_on) {
  in_runtime([this] {
    channel<block> c;
    auto sender = start([c] {
      for (std::uint64_t n = 0; n < 10; ++n) {
        block b = pattern(n);
        dig(80);
        if (n % 2 == 0) {
          c.send(std::move(b));
        } else {
          select(on_send(c, std::move(b)));
        }
        b.words.fill(~0ull);
        dig(80);
      }
    });
    for (std::uint64_t n = 0; n < 10; ++n) {
      until_waiting(1);
      auto got = c.receive();
      ASSERT_TRUE(got.has_value());
      EXPECT_TRUE(intact(*got, n)) << "value " << n;
    }
    sender.join();
  });
}

TEST_P(channel_conformance, channel_10_neighbour_the_value_for_a_blocked_receiver_is_written_before_the_sender_goes_on) {
  in_runtime([] {
    channel<block> c;
    auto receiver = start([c] {
      for (std::uint64_t n = 0; n < 10; ++n) {
        dig(80);
        std::optional<block> got;
        if (n % 2 == 0) {
          got = c.receive();
        } else {
          select(on_receive(c, got));
        }
        dig(80);
        EXPECT_TRUE(got && intact(*got, n)) << "value " << n;
      }
    });
    for (std::uint64_t n = 0; n < 10; ++n) {
      block b = pattern(n);
      while (c.try_send(std::move(b)) != channel_status::ok) yield();  // only a waiting receiver takes it
      b.words.fill(~0ull);
    }
    receiver.join();
  });
}

// ---- 16: what the ends can do

template <class C>
concept sends = requires(C c, int v) { c.send(v); };
template <class C>
concept tries_to_send = requires(C c, int v) { c.try_send(v); };
template <class C>
concept receives = requires(C c) { c.receive(); };
template <class C>
concept tries_to_receive = requires(C c) { c.try_receive(); };
template <class C>
concept is_range = requires(C c) { c.begin(); c.end(); };
template <class C>
concept closes = requires(C c) { c.close(); };
template <class C, class V = int>
concept stands_in_on_send = requires(C c, V v) { on_send(c, v); };
template <class C>
concept stands_in_on_receive = requires(C c, std::optional<int>& out) { on_receive(c, out); };
template <class From, class To>
concept becomes = std::convertible_to<From, To> && std::constructible_from<To, From>;
template <class From, class To>
concept never_becomes = !std::convertible_to<From, To> && !std::constructible_from<To, From> && !std::assignable_from<To&, From>;

using both = channel<int>;
using tx_end = send_channel<int>;
using rx_end = receive_channel<int>;

TEST_P(channel_conformance, channel_16_ends_do_one_thing_and_do_not_turn_into_each_other) {
  static_assert(becomes<both, tx_end>);
  static_assert(becomes<both, rx_end>);
  static_assert(never_becomes<tx_end, both>);
  static_assert(never_becomes<rx_end, both>);
  static_assert(never_becomes<tx_end, rx_end>);
  static_assert(never_becomes<rx_end, tx_end>);
  static_assert(!receives<tx_end> && receives<both>);
  static_assert(!tries_to_receive<tx_end> && tries_to_receive<both>);
  static_assert(!is_range<tx_end> && is_range<rx_end> && is_range<both>);
  static_assert(!sends<rx_end> && sends<both>);
  static_assert(!tries_to_send<rx_end> && tries_to_send<both>);
  static_assert(!closes<rx_end> && closes<tx_end> && closes<both>);
  static_assert(!stands_in_on_send<rx_end> && stands_in_on_send<tx_end> && stands_in_on_send<both>);
  static_assert(!stands_in_on_receive<tx_end> && stands_in_on_receive<rx_end> && stands_in_on_receive<both>);
  in_runtime([] {
    both c(1);
    const tx_end tx = c;
    const rx_end rx = c;
    tx.send(5);
    EXPECT_EQ(c.size(), 1u);
    EXPECT_EQ(rx.receive(), 5);
    EXPECT_TRUE(tx.close());
    EXPECT_TRUE(rx.is_closed());
  });
}

TEST_P(channel_conformance, channel_16_neighbour_handles_are_values_and_do_not_change_their_element) {
  static_assert(std::regular<tx_end> && std::regular<rx_end>);
  static_assert(std::copyable<both> && std::equality_comparable<both>);
  static_assert(std::is_nothrow_move_constructible_v<tx_end> && std::is_nothrow_move_constructible_v<rx_end> &&
                std::is_nothrow_move_constructible_v<both>);
  static_assert(never_becomes<send_channel<int>, send_channel<long>> && never_becomes<channel<int>, receive_channel<long>>);
  static_assert(becomes<std::nullptr_t, both> && !std::convertible_to<int, both> && std::constructible_from<both, std::size_t>);
  static_assert(!std::convertible_to<tx_end, bool> && std::constructible_from<bool, tx_end>);
  // a timer receives and nothing else
  static_assert(receives<timer> && tries_to_receive<ticker> && !closes<timer> && !sends<ticker>);
  static_assert(!stands_in_on_send<timer, time_point> && !std::copy_constructible<timer>);
  in_runtime([] {
    auto [tx, rx] = make_channel<int>(1);
    tx_end copy = tx;
    EXPECT_EQ(copy, tx);
    EXPECT_NE(copy, make_channel<int>().tx);
    tx_end moved = std::move(copy);
    EXPECT_EQ(moved, tx);
    EXPECT_FALSE(static_cast<bool>(copy)) << "moved-from handles are null";
    EXPECT_EQ(copy, tx_end());
    tx = moved;
    moved = tx_end();
    EXPECT_FALSE(rx.is_closed()) << "one counted sender is left";
    tx_end& self = tx;
    tx = self;
    EXPECT_FALSE(rx.is_closed());
    tx = {};
    EXPECT_TRUE(rx.is_closed());
  });
}

// ---- 20: channels inside channels

TEST_P(channel_conformance, channel_20_a_handle_received_in_the_case_expression_is_sent_on_as_one_case) {
  in_runtime([] {
    channel<send_channel<int>> outer(1);
    const channel<int> inner(1);
    outer.send(inner);
    EXPECT_EQ(select(on_send(*outer.receive(), 2), otherwise()), 0u);
    EXPECT_EQ(inner.size(), 1u);
    EXPECT_EQ(outer.size(), 0u);
    // Evaluated before the select: the handle is taken although `otherwise` is what happens.
    outer.send(inner);
    EXPECT_EQ(select(on_send(*outer.receive(), 3), otherwise()), 1u);
    EXPECT_EQ(outer.size(), 0u);
    EXPECT_EQ(inner.receive(), 2);
    EXPECT_EQ(inner.try_receive().status, channel_status::would_block);
  });
}

struct request {
  int question;
  send_channel<int> reply;
};

TEST_P(channel_conformance, channel_20_neighbour_a_reply_end_travels_inside_the_request) {
  in_runtime([] {
    auto [requests, served] = make_channel<request>();
    std::atomic<int> unwanted{0};
    auto server = start([rx = served, &unwanted] {
      for (request& r : rx) {
        try {
          r.reply.send(r.question * 2);
        } catch (const channel_closed&) {
          ++unwanted;
        }
      }
    });
    served = {};
    std::vector<party> clients;
    for (int i = 0; i < 4; ++i)
      clients.push_back(start([i, tx = requests] {
        for (int n = 0; n < 50; ++n) {
          auto [reply, answer] = make_channel<int>();
          tx.send(request{i * 100 + n, std::move(reply)});
          if (n % 10 == 0) continue;  // goes away without its answer
          EXPECT_EQ(answer.receive(), (i * 100 + n) * 2);
          EXPECT_EQ(answer.receive(), std::nullopt) << "the server has dropped the only sender";
        }
      }));
    requests = {};
    for (auto& c : clients) c.join();
    server.join();
    EXPECT_EQ(unwanted, 4 * 5);
  });
}

// ---- 36: two senders wait at the same time

TEST_P(channel_conformance, channel_36_a_receiver_that_yields_frees_both_of_two_waiting_senders) {
  in_runtime([this] {
    channel<int> c;
    std::vector<int> got;
    auto first = start([c] { c.send(22); });
    until_waiting(1);
    auto second = start([c] { c.send(12); });
    until_waiting(2);
    auto consumer = start([c, &got] {
      for (int v : c) {
        got.push_back(v);
        yield();
      }
    });
    first.join();
    second.join();
    c.close();
    consumer.join();
    EXPECT_EQ(got, (std::vector<int>{22, 12}));
  });
}

TEST_P(channel_conformance, channel_36_neighbour_two_receivers_that_wait_at_the_same_time_are_both_served_by_a_yielding_sender) {
  in_runtime([this] {
    channel<int> c;
    std::atomic<int> sum{0};
    auto first = start([c, &sum] { sum += c.receive().value_or(-100); });
    until_waiting(1);
    auto second = start([c, &sum] { sum += 10 * c.receive().value_or(-100); });
    until_waiting(2);
    c.send(1);
    yield();
    c.send(2);
    first.join();
    second.join();
    EXPECT_EQ(sum, 21);
  });
}

// ---- 38: one deadline for two

TEST_P(channel_conformance, channel_38_of_two_receivers_with_one_deadline_one_gets_the_element_and_one_times_out) {
  in_runtime([] {
    // A slow machine may let the deadline pass before the element is there: then again, with a later one.
    for (auto limit = 20ms;; limit *= 2) {
      channel<int> c;
      const auto deadline = steady_clock::now() + limit;
      std::atomic<int> got{0}, timed_out{0};
      std::vector<party> receivers;
      for (int i = 0; i < 2; ++i)
        receivers.push_back(start([&, c, deadline] {
          auto r = c.receive_until(deadline);
          if (r) {
            EXPECT_EQ(r.value, 1);
            ++got;
          } else {
            EXPECT_EQ(r.status, channel_status::timed_out);
            EXPECT_EQ(r.value, std::nullopt);
            EXPECT_GE(steady_clock::now(), deadline);
            ++timed_out;
          }
        }));
      channel_status sent;
      while ((sent = c.try_send(1)) != channel_status::ok && steady_clock::now() < deadline) yield();
      for (auto& r : receivers) r.join();
      EXPECT_EQ(got, sent == channel_status::ok ? 1 : 0);
      EXPECT_EQ(timed_out, 2 - got);
      EXPECT_EQ(c.try_receive().status, channel_status::would_block);
      if (sent == channel_status::ok) break;
    }
  });
}

TEST_P(channel_conformance, channel_38_neighbour_of_two_senders_with_one_deadline_one_is_taken_and_one_keeps_its_value) {
  in_runtime([] {
    for (auto limit = 20ms;; limit *= 2) {
      channel<std::unique_ptr<int>> c;
      const auto deadline = steady_clock::now() + limit;
      std::atomic<int> sent{0}, kept{0};
      std::vector<party> senders;
      for (int i = 0; i < 2; ++i)
        senders.push_back(start([&, c, deadline] {
          auto v = std::make_unique<int>(7);
          const channel_status s = c.send_until(std::move(v), deadline);
          if (s == channel_status::ok) {
            EXPECT_EQ(v, nullptr);
            ++sent;
          } else {
            EXPECT_EQ(s, channel_status::timed_out);
            EXPECT_NE(v, nullptr);
            EXPECT_GE(steady_clock::now(), deadline);
            ++kept;
          }
        }));
      try_receive_result<std::unique_ptr<int>> got;
      while (!(got = c.try_receive()) && steady_clock::now() < deadline) yield();
      for (auto& s : senders) s.join();
      EXPECT_EQ(sent, got ? 1 : 0);
      EXPECT_EQ(kept, 2 - sent);
      if (!got) continue;
      EXPECT_EQ(**got.value, 7);
      break;
    }
  });
}

TEST_P(channel_conformance, channel_38_neighbour_a_deadline_in_the_past_still_tries_once) {
  in_runtime([] {
    channel<int> c(1);
    const auto past = steady_clock::now() - 1s;
    EXPECT_EQ(c.receive_until(past).status, channel_status::timed_out);
    EXPECT_EQ(c.receive_for(-1h).status, channel_status::timed_out);
    EXPECT_EQ(c.send_until(1, past), channel_status::ok);
    EXPECT_EQ(c.send_for(2, 0ms), channel_status::timed_out);
    EXPECT_EQ(c.receive_for(0ms).value, 1);
    c.send(3);
    c.close();
    EXPECT_EQ(c.send_until(4, past), channel_status::closed);
    EXPECT_EQ(c.receive_until(past).value, 3);
    EXPECT_EQ(c.receive_until(past).status, channel_status::closed);
  });
}

}  // namespace
}  // namespace runnel::test
