// Random histories of concurrent_map against a sequential std::unordered_map.
#include "support/fixture.hpp"
#include "support/linearizability.hpp"

#include <runnel/sync/concurrent_map.hpp>

#include <atomic>
#include <vector>

namespace runnel::test {
namespace {

using history::event;
using history::kind;

class concurrent_map_history : public behaviour {};
RUNNEL_EVERY_CALLER(concurrent_map_history);

TEST(linearizability_checker, it_knows_what_cannot_have_been) {
  const event insert{kind::insert, 1, 7, 1, 1, 2};
  EXPECT_TRUE(history::linearizable({insert, {kind::find, 1, 0, 7, 3, 4}}));
  EXPECT_FALSE(history::linearizable({insert, {kind::find, 1, 0, history::none, 3, 4}})) << "it was there by then";
  EXPECT_TRUE(history::linearizable({{kind::insert, 1, 7, 1, 1, 4}, {kind::find, 1, 0, history::none, 2, 3}}));
  EXPECT_FALSE(history::linearizable({insert, {kind::erase, 1, 0, 1, 3, 6}, {kind::erase, 1, 0, 1, 4, 5}})) << "erased twice";
  EXPECT_FALSE(history::linearizable(
      {{kind::find, 1, 0, 7, 2, 3}, {kind::find, 1, 0, history::none, 4, 5}, {kind::insert, 1, 7, 1, 1, 6}}))
      << "seen, and then not";
}

TEST_P(concurrent_map_history, every_history_could_be_a_sequential_one) {
  in_runtime([] {
    std::mt19937_64 random(seed());
    const auto draw = [&](std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); };
    for (std::size_t round = scaled(300); round-- > 0;) {
      concurrent_map<int, int> m;
      std::atomic<std::uint64_t> clock{0};
      std::vector<std::vector<event>> lanes;
      for (int n = 0; n < 4; ++n) lanes.push_back(history::random_events(8, 2, 100 * n, draw));
      std::vector<party> parties;
      for (auto& lane : lanes) {
        parties.push_back(start([&] {
          for (event& e : lane) {
            e.called = clock.fetch_add(1);
            history::execute(m, e);
            e.returned = clock.fetch_add(1);
            if (e.argument % 3 == 0) yield();
          }
        }));
      }
      for (party& p : parties) p.join();
      std::vector<event> all;
      for (const auto& lane : lanes) all.insert(all.end(), lane.begin(), lane.end());
      ASSERT_TRUE(history::linearizable(std::move(all)));
    }
  });
}

}  // namespace
}  // namespace runnel::test
