// Channels with many parties at once: nothing is lost, doubled or reported wrongly.
#include "conformance/meeting.hpp"
#include "support/fixture.hpp"

#include <algorithm>
#include <atomic>
#include <fstream>
#include <memory>
#include <vector>

#include <unistd.h>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class channel_stress_conformance : public behaviour {
 protected:
  /// Rounds that start parties: a thread costs much more than a fiber.
  std::size_t rounds(std::size_t n) const { return scaled(from_threads() ? std::max<std::size_t>(1, n / 5) : n); }
};
RUNNEL_EVERY_CALLER(channel_stress_conformance);

void join_all(std::vector<party>& parties) {
  for (auto& p : parties) p.join();
}

// ---- 06: producers and consumers

TEST_P(channel_stress_conformance, channel_06_four_producers_and_four_consumers_pass_each_value_on_once) {
  in_runtime([this] {
    // Threads that meet in the kernel for every value see some of the capacities only.
    const std::size_t step = std::max<std::size_t>(from_threads() ? 7 : 1, 200 / scaled(200));
    const std::size_t values = scaled(1000);
    for (std::size_t capacity = 0; capacity < 200; capacity += step) {
      channel<std::size_t> c(capacity);
      std::vector<party> parties;
      std::vector<std::vector<std::size_t>> taken(4);
      for (int p = 0; p < 4; ++p)
        parties.push_back(start([c, values] {
          for (std::size_t v = 0; v < values; ++v) c.send(v);
        }));
      for (auto& mine : taken)
        parties.push_back(start([c, values, &mine] {
          for (std::size_t n = 0; n < values; ++n) mine.push_back(c.receive().value());
        }));
      join_all(parties);
      EXPECT_EQ(c.size(), 0u);
      std::vector<int> count(values);
      for (const auto& mine : taken)
        for (std::size_t v : mine) ++count.at(v);
      EXPECT_EQ(std::count(count.begin(), count.end(), 4), static_cast<std::ptrdiff_t>(values)) << "capacity " << capacity;
    }
  });
}

TEST_P(channel_stress_conformance, channel_06_neighbour_batches_through_ends_that_close_themselves_arrive_in_each_producers_order) {
  in_runtime([this] {
    const std::size_t values = rounds(4000);
    for (std::size_t capacity : {0u, 1u, 13u, 500u}) {
      auto [tx, rx] = make_channel<std::size_t>(capacity);
      std::vector<party> parties;
      std::vector<std::vector<std::size_t>> taken(4);
      for (std::size_t p = 0; p < 4; ++p)
        parties.push_back(start([p, values, tx = tx] {
          for (std::size_t done = 0; done < values;) {
            std::vector<std::size_t> batch;
            while (batch.size() < 7 && done < values) batch.push_back(p * values + done++);
            ASSERT_EQ(tx.send_n(batch), batch.size());
          }
        }));
      for (std::size_t n = 0; n < 4; ++n)
        parties.push_back(start([n, &mine = taken[n], rx = rx] {
          std::vector<std::size_t> batch(3 + n);
          std::size_t got;
          do {
            got = rx.receive_n(batch);
            mine.insert(mine.end(), batch.begin(), batch.begin() + static_cast<std::ptrdiff_t>(got));
          } while (got == batch.size());
        }));
      tx = {};
      rx = {};
      join_all(parties);
      std::vector<std::size_t> all;
      for (const auto& mine : taken) {
        std::vector<std::size_t> next(4, 0);
        for (std::size_t v : mine) {
          EXPECT_GE(v % values, next[v / values]) << "one producer's values overtook each other";
          next[v / values] = v % values;
          all.push_back(v);
        }
      }
      std::sort(all.begin(), all.end());
      ASSERT_EQ(all.size(), 4 * values);
      for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], i);
    }
  });
}

// ---- 08: try operations against close

TEST_P(channel_stress_conformance, channel_08_a_try_receive_that_races_with_close_never_finds_the_channel_empty) {
  in_runtime([this] {
    for (std::size_t i = 0; i < rounds(10'000); ++i) {
      channel<int> c(1);
      c.send(1);
      std::size_t got = 0;
      meeting begin(2);
      auto other = start([c, &got, &begin] {
        begin.arrive();
        const auto r = c.try_receive();
        EXPECT_NE(r.status, channel_status::would_block);
        got = r.status == channel_status::ok;
      });
      begin.arrive();
      c.close();
      const bool mine = c.receive().has_value();
      other.join();
      EXPECT_EQ(got + mine, 1u);
    }
  });
}

TEST_P(channel_stress_conformance, channel_08_neighbour_a_try_send_with_room_that_races_with_close_is_taken_or_refused_for_good) {
  in_runtime([this] {
    for (std::size_t i = 0; i < rounds(10'000); ++i) {
      channel<int> c(1);
      channel_status sent{};
      meeting begin(2);
      auto other = start([c, &sent, &begin] {
        begin.arrive();
        sent = c.try_send(1);
      });
      begin.arrive();
      c.close();
      const bool there = c.size() == 1;
      other.join();
      EXPECT_EQ(sent, there ? channel_status::ok : channel_status::closed);
      EXPECT_EQ(c.try_receive().status, there ? channel_status::ok : channel_status::closed);
    }
  });
}

// ---- 24: what one has put in, some one can take out

TEST_P(channel_stress_conformance, channel_24_who_has_sent_finds_something_to_receive) {
  in_runtime([this] {
    channel<int> c(4);
    std::vector<party> parties;
    for (int p = 0; p < 4; ++p)
      parties.push_back(start([c, n = rounds(25'000)] {
        std::size_t failures = 0;
        for (std::size_t i = 0; i < n; ++i) {
          c.send(1);
          failures += c.try_receive().status != channel_status::ok;
        }
        EXPECT_EQ(failures, 0u);
      }));
    join_all(parties);
    EXPECT_EQ(c.size(), 0u);
  });
}

TEST_P(channel_stress_conformance, channel_24_neighbour_who_has_received_finds_room_to_send) {
  in_runtime([this] {
    channel<int> c(4);
    for (int i = 0; i < 4; ++i) c.send(1);
    std::vector<party> parties;
    for (int p = 0; p < 4; ++p)
      parties.push_back(start([c, n = rounds(25'000)] {
        std::size_t failures = 0;
        for (std::size_t i = 0; i < n; ++i) {
          static_cast<void>(c.receive());
          failures += c.try_send(1) != channel_status::ok;
        }
        EXPECT_EQ(failures, 0u);
      }));
    join_all(parties);
    EXPECT_EQ(c.size(), 4u);
  });
}

// ---- 30: ends that go at the same time

TEST_P(channel_stress_conformance, channel_30_receiving_while_both_ends_go_ends_with_a_value_or_closed) {
  in_runtime([this] {
    for (std::size_t i = 0; i < rounds(64 * 20); ++i) {
      auto [tx, rx] = make_channel<int>(i % 2);
      const bool sends = i % 4 == 1;  // only with room, so that the sender need not wait
      std::atomic<int> values{0}, closed{0};
      meeting begin(4);
      std::vector<party> parties;
      for (int n = 0; n < 2; ++n)
        parties.push_back(start([&values, &closed, &begin, rx = rx] {
          begin.arrive();
          ++(rx.receive() ? values : closed);
        }));
      parties.push_back(start([&begin, rx = std::move(rx)]() mutable {
        begin.arrive();
        rx = {};
      }));
      parties.push_back(start([sends, &begin, tx = std::move(tx)]() mutable {
        begin.arrive();
        if (sends) tx.send(1);
        tx = {};
      }));
      join_all(parties);
      EXPECT_EQ(values, sends ? 1 : 0);
      EXPECT_EQ(closed, sends ? 1 : 2);
    }
  });
}

TEST_P(channel_stress_conformance, channel_30_neighbour_sending_while_both_ends_go_ends_taken_or_refused) {
  in_runtime([this] {
    for (std::size_t i = 0; i < rounds(64 * 20); ++i) {
      auto [tx, rx] = make_channel<std::shared_ptr<int>>(i % 3);
      auto shared = std::make_shared<int>(1);
      std::atomic<int> accepted{0}, refused{0};
      std::atomic<bool> received{false};
      meeting begin(4);
      std::vector<party> parties;
      for (int n = 0; n < 2; ++n)
        parties.push_back(start([&accepted, &refused, &begin, shared, tx = tx] {
          begin.arrive();
          try {
            tx.send(shared);
            ++accepted;
          } catch (const channel_closed&) {
            ++refused;
          }
        }));
      parties.push_back(start([&received, &begin, i, rx = std::move(rx)]() mutable {
        begin.arrive();
        if (i % 4 == 0) received = rx.receive().has_value();
        rx = {};
      }));
      parties.push_back(start([&begin, tx = std::move(tx)]() mutable {
        begin.arrive();
        tx = {};
      }));
      join_all(parties);
      EXPECT_EQ(accepted + refused, 2);
      EXPECT_EQ(received, i % 4 == 0);
      parties.clear();
      EXPECT_EQ(shared.use_count(), 1) << "the channel is gone, and so is every element";
    }
  });
}

// ---- 18: long chains; only fibers are cheap enough

class channel_chain_conformance : public behaviour {
 protected:
  static std::size_t resident_bytes() {
    std::size_t all = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> all >> resident;
    return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }
  /// Ten thousand; sanitizers keep too much of their own for each.
  static std::size_t length() { return scaled(2) == 2 ? 10'000 : 200; }
};
RUNNEL_EVERY_WIDTH(channel_chain_conformance);

TEST_P(channel_chain_conformance, channel_18_a_value_travels_down_a_chain_of_ten_thousand_fibers) {
  in_runtime([this] {
    const std::size_t n = length();
    const std::size_t before = resident_bytes();
    channel<int> leftmost;
    channel<int> left = leftmost;
    std::vector<party> links;
    for (std::size_t i = 0; i < n; ++i) {
      const channel<int> right;
      links.push_back(start([left, right] { left.send(right.receive().value()); }));
      left = right;
    }
    until_waiting(n);
    // Shadow memory and other stacks than a fiber's own are not ours: only plain builds are measured.
    const std::size_t after = resident_bytes();
    if (scaled(2) == 2) {
      EXPECT_LT(after - std::min(before, after), std::size_t{400} << 20);
    }
    left.send(18);
    EXPECT_EQ(leftmost.receive(), 18);
    join_all(links);
  });
}

TEST_P(channel_chain_conformance, channel_18_neighbour_the_end_travels_down_a_chain_as_well) {
  in_runtime([this] {
    const std::size_t n = length();
    auto [first, last] = make_channel<int>(1);
    std::vector<party> links;
    for (std::size_t i = 0; i < n; ++i) {
      auto [tx, rx] = make_channel<int>(i % 3);
      links.push_back(start([from = std::move(last), to = std::move(tx)] {
        for (int v : from) to.send(v + 1);
      }));
      last = std::move(rx);
    }
    until_waiting(n);
    first.send(0);
    EXPECT_EQ(last.receive(), static_cast<int>(n));
    first = {};
    EXPECT_EQ(last.receive(), std::nullopt);
    join_all(links);
  });
}

}  // namespace
}  // namespace runnel::test
