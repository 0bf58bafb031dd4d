// The chances of the cases, and what waiting in crowds costs.
#include "support/fixture.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class select_fairness_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(select_fairness_conformance);

void join_all(std::vector<party>& parties) {
  for (auto& p : parties) p.join();
}

/// How many standard deviations `hits` of `rounds` draws with chance `p` are away from the mean.
double sigmas(std::size_t hits, std::size_t rounds, double p) {
  const double n = static_cast<double>(rounds);
  return std::abs(static_cast<double>(hits) - n * p) / std::sqrt(n * p * (1 - p));
}

// ---- 15: equal chances

TEST_P(select_fairness_conformance, select_15_two_ready_channels_win_equally_often) {
  in_runtime([] {
    const std::size_t rounds = scaled(10'000);
    std::array<double, 5> deviation{};
    for (double& d : deviation) {
      const channel<unit> a(rounds + 1), b(rounds + 1), silent1, silent2;
      for (std::size_t i = 0; i <= rounds; ++i) {
        a.send({});
        b.send({});
      }
      std::array<std::size_t, 4> hits{};
      for (std::size_t i = 0; i < rounds; ++i)
        ++hits[select(on_receive(silent1), on_receive(a), on_receive(silent2), on_receive(b))];
      EXPECT_EQ(hits[1] + hits[3], rounds);
      EXPECT_EQ(a.size(), rounds + 1 - hits[1]);
      d = sigmas(hits[1], rounds, 0.5);
      EXPECT_LT(d, 10);
    }
    std::sort(deviation.begin(), deviation.end());
    EXPECT_LT(deviation[2], 4.4);
  });
}

TEST_P(select_fairness_conformance, select_15_neighbour_the_kind_of_a_case_and_its_place_do_not_change_its_chance) {
  in_runtime([] {
    const std::size_t rounds = scaled(10'000);
    const channel<unit> full(rounds), free(rounds), closed;
    for (std::size_t i = 0; i < rounds; ++i) full.send({});
    closed.close();
    auto [ctx, cancel] = derive_cancel(context::current());
    cancel();
    auto ended = go([] {});
    ended.join();
    std::array<std::size_t, 8> hits{};
    for (std::size_t i = 0; i < rounds; ++i)
      ++hits[select(on_receive(full), on_send(free, unit{}), otherwise().when(false), on_receive(closed), on_done(ctx),
                    on_join(ended), on_timeout(0s), on_receive(closed))];
    EXPECT_EQ(hits[2], 0u);
    for (std::size_t i : {0u, 1u, 3u, 4u, 5u, 6u, 7u}) EXPECT_LT(sigmas(hits[i], rounds, 1.0 / 7), 10) << "case " << i;
    ended.get();
  });
}

// ---- 21: chances under traffic

TEST_P(select_fairness_conformance, select_21_a_large_a_small_and_a_rendezvous_channel_all_win_under_traffic) {
  in_runtime([this] {
    const std::size_t rounds = scaled(from_threads() ? 3000 : 10'000);
    const channel<unit> large(rounds), small(1), none;
    auto sender = start([=] {
      for (std::size_t i = 0; i < rounds; ++i)
        select(on_send(large, unit{}).when(large.size() == 0), on_send(small, unit{}).when(small.size() == 0),
               on_send(none, unit{}));
    });
    std::array<std::size_t, 3> hits{};
    for (std::size_t i = 0; i < rounds; ++i) ++hits[select(on_receive(large), on_receive(small), on_receive(none))];
    for (std::size_t h : hits) EXPECT_GE(h, rounds / 3 / 50);
    sender.join();
  });
}

TEST_P(select_fairness_conformance, select_21_neighbour_several_waiting_senders_all_win_against_each_other) {
  in_runtime([this] {
    // How often each wins also depends on how often its thread gets a processor, so no share is asked for: who never
    // won would keep this loop going for ever.
    const std::size_t wanted = scaled(from_threads() ? 300 : 1000);
    std::array<channel<unit>, 3> c;
    std::vector<party> senders;
    for (auto& each : c)
      senders.push_back(start([each] {
        try {
          for (;;) each.send({});
        } catch (const channel_closed&) {
        }
      }));
    until_waiting(3);
    std::array<std::size_t, 3> hits{};
    while (*std::min_element(hits.begin(), hits.end()) < wanted)
      ++hits[select(on_receive(c[0]), on_receive(c[1]), on_receive(c[2]))];
    for (auto& each : c) each.close();
    join_all(senders);
  });
}

// ---- 31: philosophers

TEST_P(select_fairness_conformance, select_31_ten_philosophers_that_give_back_a_lone_fork_all_eat) {
  in_runtime([] {
    constexpr std::size_t seats = 10;
    const std::size_t wanted = scaled(50);
    std::array<channel<unit>, seats> forks;
    for (auto& f : forks) {
      f = channel<unit>(1);
      f.send({});
    }
    std::array<std::atomic<bool>, seats> used{};
    std::atomic<std::size_t> satisfied{0};
    std::vector<party> philosophers;
    for (std::size_t seat = 0; seat < seats; ++seat)
      philosophers.push_back(start([&, seat] {
        const std::size_t left = seat, right = (seat + 1) % seats;
        std::size_t meals = 0;
        while (satisfied < seats) {  // goes on until even the hungriest has had enough
          const bool left_first = select(on_receive(forks[left]), on_receive(forks[right])) == 0;
          const std::size_t held = left_first ? left : right, other = left_first ? right : left;
          if (select(on_receive(forks[other]), otherwise()) == 0) {
            EXPECT_FALSE(used[left].exchange(true) || used[right].exchange(true));
            if (++meals == wanted) ++satisfied;
            if (meals % 4 == 0) yield();
            used[left] = used[right] = false;
            forks[other].send({});
          }
          forks[held].send({});
          yield();
        }
        EXPECT_GE(meals, wanted);
      }));
    join_all(philosophers);
    for (auto& f : forks) EXPECT_EQ(f.size(), 1u) << "nobody holds a fork";
  });
}

TEST_P(select_fairness_conformance, select_31_neighbour_who_waits_for_one_token_in_a_select_is_served_in_order) {
  in_runtime([this] {
    for (std::size_t round = 0; round < scaled(20); ++round) {
      const channel<unit> token(1), silent;
      std::vector<std::size_t> order;
      std::vector<party> parties;
      for (std::size_t i = 0; i < 6; ++i) {
        parties.push_back(start([&, i, token, silent] {
          EXPECT_EQ(select(on_receive(silent), on_receive(token)), 1u);
          order.push_back(i);  // who has the token is alone here
          token.send({});
        }));
        until_waiting(i + 1);
      }
      token.send({});
      join_all(parties);
      EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 3, 4, 5}));
    }
  });
}

// ---- 19: crowds; only fibers are cheap enough

class select_crowd_conformance : public behaviour {};
INSTANTIATE_TEST_SUITE_P(widths, select_crowd_conformance, ::testing::Values(one_worker),
                         [](const auto&) { return "workers_1"; });

// The row compares two times. Twice as many fibers need more than twice the time as soon as they outgrow a cache, so
// the size does it here: a search through the common queue, from either end, would make 10^9 steps and meet the hang
// guard.
TEST_P(select_crowd_conformance, select_19_leaving_a_crowded_queue_does_not_search_it) {
  in_runtime([this] {
    const std::size_t n = scaled(20'000);
    const channel<unit> common;
    std::vector<channel<unit>> own(n);
    std::vector<party> parties;
    std::atomic<std::size_t> wakes{0}, released{0};
    for (const auto& mine : own)
      parties.push_back(start([&, mine, common] {
        while (select(on_receive(common), on_receive(mine)) == 1) ++wakes;
        ++released;
      }));
    until_waiting(n);
    for (int round = 0; round < 10; ++round)
      for (std::size_t i = 0; i < n; ++i) own[i * 7919 % n].send({});  // 7919 is prime: each once, from all over
    EXPECT_EQ(released, 0u);
    common.close();
    join_all(parties);
    EXPECT_EQ(wakes, 10 * n);
    EXPECT_EQ(released, n);
  });
}

TEST_P(select_crowd_conformance, select_19_neighbour_leaving_a_crowd_from_anywhere_keeps_the_others_in_order) {
  in_runtime([this] {
    const std::size_t n = scaled(2) == 2 ? 2000 : 100;
    const channel<std::size_t> common;
    std::vector<channel<unit>> own(n);
    const auto leaves = [](std::size_t i) { return i * 7 % 10 < 5; };
    std::vector<party> parties;
    for (std::size_t i = 0; i < n; ++i) {
      parties.push_back(start([&, i, common] {
        std::optional<std::size_t> got;
        EXPECT_EQ(select(on_receive(common, got), on_receive(own[i])), leaves(i) ? 1u : 0u);
        EXPECT_EQ(got, leaves(i) ? std::nullopt : std::optional(i));
      }));
      yield();  // with one worker the fibers queue in the order of their start
    }
    until_waiting(n);
    for (std::size_t i = n; i-- > 0;)
      if (leaves(i)) own[i].send({});
    for (std::size_t i = 0; i < n; ++i)
      if (!leaves(i)) common.send(i);
    join_all(parties);
  });
}

}  // namespace
}  // namespace runnel::test
