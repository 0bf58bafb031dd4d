// select with many parties at once: values keep their order and number, chances are fair, queues stay clean.
#include "support/fixture.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <numeric>
#include <random>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class select_stress_conformance : public behaviour {
 protected:
  /// Threads meet in the kernel where fibers only switch.
  std::size_t rounds(std::size_t n) const { return scaled(from_threads() ? std::max<std::size_t>(1, n / 10) : n); }
};
RUNNEL_EVERY_CALLER(select_stress_conformance);

void join_all(std::vector<party>& parties) {
  for (auto& p : parties) p.join();
}

// ---- 01: exactly one case

TEST_P(select_stress_conformance, select_01_a_four_way_sender_sends_each_counter_once) {
  in_runtime([this] {
    const std::size_t n = rounds(100'000);
    std::array<channel<std::size_t>, 4> c;
    auto [muxed, all] = make_channel<std::size_t>();
    std::vector<party> parties;
    parties.push_back(start([c, n] {
      std::array<std::size_t, 4> hits{};
      for (std::size_t i = 0; i < n; ++i)
        ++hits[select(on_send(c[0], std::size_t{i}), on_send(c[1], std::size_t{i}), on_send(c[2], std::size_t{i}),
                      on_send(c[3], std::size_t{i}))];
      for (auto& each : c) each.close();
      EXPECT_EQ(std::accumulate(hits.begin(), hits.end(), std::size_t{0}), n);
    }));
    for (auto& each : c)
      parties.push_back(start([each, tx = muxed] {
        for (std::size_t v : each) tx.send(v);
      }));
    muxed = {};
    std::vector<int> seen(n);
    for (std::size_t v : all) ++seen.at(v);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<std::ptrdiff_t>(n));
    join_all(parties);
  });
}

TEST_P(select_stress_conformance, select_01_neighbour_a_four_way_receiver_takes_each_value_once_and_in_each_senders_order) {
  in_runtime([this] {
    const std::size_t n = rounds(25'000);
    std::array<channel<std::size_t>, 4> c;
    std::vector<party> parties;
    for (auto& each : c)
      parties.push_back(start([each, n] {
        for (std::size_t i = 0; i < n; ++i) each.send(i);
        each.close();
      }));
    std::array<std::size_t, 4> next{};
    std::array<bool, 4> open{true, true, true, true};
    std::optional<std::size_t> got;
    while (open != std::array<bool, 4>{}) {
      const std::size_t i = select(on_receive(c[0], got).when(open[0]), on_receive(c[1], got).when(open[1]),
                                   on_receive(c[2], got).when(open[2]), on_receive(c[3], got).when(open[3]));
      ASSERT_TRUE(open[i]);
      if (got) {
        ASSERT_EQ(*got, next[i]);
        ++next[i];
      } else {
        open[i] = false;
      }
    }
    for (std::size_t count : next) EXPECT_EQ(count, n);
    join_all(parties);
  });
}

// ---- 03: losing cases leave nothing

TEST_P(select_stress_conformance, select_03_waiting_again_and_again_on_a_silent_channel_costs_no_memory) {
  in_runtime([this] {
    const channel<int> busy, silent;
    const channel<unit> phase_done;
    until_waiting(0);  // whoever waits for this test does
    const auto waits = stats().registered_waits;
    const std::size_t n = rounds(100'000);
    auto receiver = start([=] {
      for (int phase = 0; phase < 2; ++phase) {
        for (std::size_t i = 0; i < n; ++i)
          if (select(on_receive(busy), on_receive(silent)) != 0) ADD_FAILURE();
        phase_done.send({});
      }
    });
    for (std::size_t i = 0; i < n; ++i) busy.send(1);
    static_cast<void>(phase_done.receive());
    const std::int64_t blocks = live_allocations();
    for (std::size_t i = 0; i < n; ++i) busy.send(1);
    static_cast<void>(phase_done.receive());
    EXPECT_LE(live_allocations() - blocks, 16);
    receiver.join();
    EXPECT_EQ(silent.try_send(1), channel_status::would_block);
    EXPECT_EQ(stats().registered_waits, waits);
  });
}

TEST_P(select_stress_conformance, select_03_neighbour_selects_that_end_by_time_or_cancellation_leave_nothing_either) {
  in_runtime([this] {
    const channel<int> silent;
    until_waiting(0);  // whoever waits for this test does
    const auto waits = stats().registered_waits;
    for (std::size_t i = 0; i < rounds(5000); ++i) {
      EXPECT_EQ(select(on_receive(silent), on_timeout(std::chrono::nanoseconds(i % 3)), on_send(silent, 1)), 1u);
      EXPECT_EQ(select(on_receive(silent), otherwise()), 1u);
    }
    for (std::size_t i = 0; i < rounds(1000); ++i) {
      auto [ctx, cancel] = derive_cancel(context::current());
      auto waiting = start([silent, ctx = ctx] {
        const context_scope ambient(ctx);
        EXPECT_THROW(select(on_receive(silent), on_timeout(1h), on_send(silent, 1)), canceled);
      });
      if (i % 2 == 0) until_waiting(1);
      cancel();
      waiting.join();
    }
    EXPECT_EQ(stats().registered_waits, waits);
    EXPECT_EQ(silent.try_send(1), channel_status::would_block);
    EXPECT_EQ(silent.try_receive().status, channel_status::would_block);
  });
}

// ---- 11: one instant

TEST_P(select_stress_conformance, select_11_otherwise_is_not_taken_while_one_of_two_channels_is_ready_at_every_instant) {
  in_runtime([this] {
    const std::size_t n = scaled(from_threads() ? 20'000 : 50'000);
    const channel<int> c1(1), c2(1);
    channel<std::size_t> begin(1), end(1);
    auto other = start([=] {
      std::size_t missed = 0;
      for (std::size_t i : begin) {
        missed += select(on_receive(c1), on_receive(c2), otherwise()) == 2;
        end.send(i);
      }
      EXPECT_EQ(missed, 0u);
    });
    for (std::size_t i = 0; i < n; ++i) {
      c1.send(1);
      begin.send(i);
      for (std::size_t delay = i % 8; delay-- > 0;) static_cast<void>(c1.size());
      c2.send(1);
      static_cast<void>(c1.try_receive());
      EXPECT_EQ(end.receive(), i);
      static_cast<void>(c2.try_receive());
      static_cast<void>(c1.try_receive());
    }
    begin.close();
    other.join();
  });
}

TEST_P(select_stress_conformance, select_11_neighbour_nor_while_one_channel_is_ready_in_one_direction_at_every_instant) {
  in_runtime([this] {
    // One cell: either full or not, so sending or receiving is possible at every instant.
    const channel<int> c(1);
    std::atomic<bool> over{false};
    auto other = start([&, c] {
      while (!over) {
        static_cast<void>(c.try_send(1));
        static_cast<void>(c.try_receive());
        yield();
      }
    });
    std::size_t missed = 0;
    for (std::size_t i = 0; i < rounds(50'000); ++i) {
      missed += select(on_send(c, 2), on_receive(c), otherwise()) == 2;
      if (i % 64 == 0) yield();
    }
    EXPECT_EQ(missed, 0u);
    over = true;
    other.join();
  });
}

// ---- 13 and 25: everybody sends and receives on one channel

TEST_P(select_stress_conformance, select_13_two_that_send_and_receive_on_one_channel_serve_each_other) {
  in_runtime([] {
    for (std::size_t capacity : {0u, 10u}) {
      const channel<int> c(capacity);
      std::vector<party> parties;
      for (int self = 0; self < 2; ++self)
        parties.push_back(start([=] {
          for (std::size_t i = 0; i < scaled(1000); ++i) {
            std::optional<int> got;
            const bool received = (self == 0 || i % 2 == 0) ? select(on_send(c, int{self}), on_receive(c, got)) == 1
                                                            : select(on_receive(c, got), on_send(c, int{self})) == 0;
            EXPECT_EQ(received, got.has_value());
            EXPECT_TRUE(capacity != 0 || got != self) << "its own value";
          }
        }));
      join_all(parties);
      EXPECT_TRUE(capacity != 0 || c.try_receive().status == channel_status::would_block);
    }
  });
}

TEST_P(select_stress_conformance, select_13_neighbour_four_that_do_so_send_as_much_as_they_receive) {
  in_runtime([this] {
    const channel<int> c;
    std::array<std::atomic<long>, 4> sent{}, received{};
    std::vector<party> parties;
    for (int self = 0; self < 4; ++self)
      parties.push_back(start([&, c, self, n = rounds(5000)] {
        for (std::size_t i = 0; i < n; ++i) {
          std::optional<int> got;
          if (select(on_send(c, int{self}), on_receive(c, got)) == 0) {
            ++sent[static_cast<std::size_t>(self)];
          } else {
            EXPECT_NE(got.value(), self);
            ++received[static_cast<std::size_t>(*got)];
          }
        }
      }));
    // Helps out the party that is left alone at the end.
    auto rest = start([&, c] {
      for (int v : c) ++received[static_cast<std::size_t>(v)];
    });
    join_all(parties);
    c.close();
    rest.join();
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(sent[i], received[i]) << "party " << i;
  });
}

TEST_P(select_stress_conformance, select_25_twenty_selectors_on_one_rendezvous_channel_pair_up_and_none_with_itself) {
  in_runtime([this] {
    for (std::size_t round = 0; round < rounds(300); ++round) {
      const channel<int> c;
      std::atomic<int> sent{0}, received{0};
      std::vector<party> parties;
      for (int self = 0; self < 20; ++self)
        parties.push_back(start([&, c, self] {
          selector s;
          s.add(on_send(c, [self] { return self; }));
          s.add(on_receive(c, [self](std::optional<int> v) { EXPECT_NE(v.value(), self); }));
          ++(s.run() == 0 ? sent : received);
        }));
      join_all(parties);
      EXPECT_EQ(sent, 10);
      EXPECT_EQ(received, 10);
      EXPECT_EQ(c.try_receive().status, channel_status::would_block);
      EXPECT_EQ(c.try_send(1), channel_status::would_block);
    }
  });
}

TEST_P(select_stress_conformance, select_25_neighbour_a_selector_runs_many_times_with_the_same_cases) {
  in_runtime([this] {
    const std::size_t n = rounds(20'000);
    const channel<std::size_t> c, d;
    std::vector<party> parties;
    std::atomic<std::size_t> sum{0};
    for (int p = 0; p < 4; ++p)
      parties.push_back(start([&, c, d] {
        std::size_t mine = 0;
        bool over = false;
        selector s;
        const auto take = [&](std::optional<std::size_t> v) {
          over = !v;
          mine += v.value_or(0);
        };
        s.add(on_receive(c, take)).add(on_receive(d, take));
        EXPECT_EQ(s.size(), 2u);
        while (!over) s.run();
        sum += mine;
      }));
    selector s;
    std::size_t next = 0;
    const auto supply = [&next] { return ++next; };
    s.add(on_send(c, supply)).add(on_send(d, supply));
    // Each case keeps the value that it could not send, so both offer one: their sum is what counts.
    std::size_t sent = 0;
    while (sent < n) {
      s.run();
      ++sent;
    }
    c.close();
    d.close();
    join_all(parties);
    // All numbers up to n + 1 were supplied; the one kept at the end is the only one missing.
    const std::size_t supplied = next * (next + 1) / 2;
    EXPECT_EQ(next, n + 1);
    EXPECT_LT(sum, supplied);
    EXPECT_GE(sum, supplied - next);
  });
}

// ---- 27: order of each channel under random mixes

struct numbered {
  channel<std::size_t> c;
  std::size_t next_sent = 0;
  std::size_t next_received = 0;
};
constexpr std::size_t messages = 76;

class select_mix_conformance : public select_stress_conformance {
 protected:
  /// Each channel has one sender and one receiver; some of them serve two channels with one select.
  static void mix(std::mt19937_64& random) {
    std::array<numbered, 8> all;
    for (auto& one : all) one.c = channel<std::size_t>(random() % 3);
    std::vector<party> parties;
    std::array<std::size_t, 8> order{0, 1, 2, 3, 4, 5, 6, 7};
    std::shuffle(order.begin(), order.end(), random);
    for (std::size_t i = 0; i < 8;) {
      numbered& a = all[order[i++]];
      numbered& b = i < 8 && random() % 2 == 0 ? all[order[i++]] : a;
      parties.push_back(start([&a, &b] {
        while (a.next_sent < messages || b.next_sent < messages) {
          const bool b_too = &a != &b && b.next_sent < messages;
          numbered& sent = select(on_send(a.c, std::size_t{a.next_sent}).when(a.next_sent < messages),
                                  on_send(b.c, std::size_t{b.next_sent}).when(b_too)) == 0
                               ? a
                               : b;
          ++sent.next_sent;
        }
      }));
    }
    std::shuffle(order.begin(), order.end(), random);
    for (std::size_t i = 0; i < 8;) {
      numbered& a = all[order[i++]];
      numbered& b = i < 8 && random() % 2 == 0 ? all[order[i++]] : a;
      parties.push_back(start([&a, &b] {
        while (a.next_received < messages || b.next_received < messages) {
          const bool b_too = &a != &b && b.next_received < messages;
          std::optional<std::size_t> got;
          numbered& from = select(on_receive(a.c, got).when(a.next_received < messages), on_receive(b.c, got).when(b_too)) == 0
                               ? a
                               : b;
          ASSERT_EQ(got, from.next_received);
          ++from.next_received;
        }
      }));
    }
    join_all(parties);
    for (auto& one : all) {
      EXPECT_EQ(one.next_sent, messages);
      EXPECT_EQ(one.next_received, messages);
      EXPECT_EQ(one.c.size(), 0u);
    }
  }
};
RUNNEL_EVERY_CALLER(select_mix_conformance);

TEST_P(select_mix_conformance, select_27_random_mixes_of_senders_and_receivers_keep_each_channels_order) {
  in_runtime([this] {
    std::mt19937_64 random(seed());
    for (std::size_t round = 0; round < rounds(150); ++round) mix(random);
  });
}

TEST_P(select_mix_conformance, select_27_neighbour_a_fan_in_of_any_width_keeps_each_channels_order) {
  in_runtime([] {
    for (std::size_t width : {1u, 2u, 5u, 16u, 17u, 40u}) {
      std::vector<numbered> all(width);
      std::vector<party> parties;
      for (auto& one : all)
        parties.push_back(start([&one] {
          for (std::size_t i = 0; i < messages; ++i) one.c.send(i);
          one.c.close();
        }));
      std::size_t open = width;
      std::vector<bool> ended(width, false);
      while (open != 0) {
        selector s;
        for (std::size_t n = 0; n < width; ++n)
          s.add(on_receive(all[n].c, [&, n](std::optional<std::size_t> v) {
                  if (v) {
                    EXPECT_EQ(*v, all[n].next_received++);
                  } else {
                    ended[n] = true;
                    --open;
                  }
                }).when(!ended[n]));
        const std::size_t before = open;
        while (open == before) s.run();
      }
      for (auto& one : all) EXPECT_EQ(one.next_received, messages);
      join_all(parties);
    }
  });
}

}  // namespace
}  // namespace runnel::test
