// Random histories of concurrent_map against a sequential map.
#include "support/fixture.hpp"
#include "support/map_model.hpp"
#include "support/sequence_model.hpp"

#include <runnel/sync/concurrent_map.hpp>

#include <atomic>
#include <vector>

namespace runnel::test {
namespace {

using model = history::map_model;
using event = model::event;
using kind = model::kind;

class concurrent_map_history : public behaviour {};
RUNNEL_EVERY_CALLER(concurrent_map_history);

TEST(linearizability_checker, it_knows_what_cannot_have_been) {
  const event insert{kind::insert, 1, 7, 1, 1, 2};
  EXPECT_TRUE(history::linearizable<model>({insert, {kind::find, 1, 0, 7, 3, 4}}));
  EXPECT_FALSE(history::linearizable<model>({insert, {kind::find, 1, 0, history::none, 3, 4}})) << "it was there by then";
  EXPECT_TRUE(history::linearizable<model>({{kind::insert, 1, 7, 1, 1, 4}, {kind::find, 1, 0, history::none, 2, 3}}));
  EXPECT_FALSE(history::linearizable<model>({insert, {kind::erase, 1, 0, 1, 3, 6}, {kind::erase, 1, 0, 1, 4, 5}})) << "erased twice";
  EXPECT_FALSE(history::linearizable<model>(
      {{kind::find, 1, 0, 7, 2, 3}, {kind::find, 1, 0, history::none, 4, 5}, {kind::insert, 1, 7, 1, 1, 6}}))
      << "seen, and then not";
}

TEST(linearizability_checker, it_knows_the_first_from_the_last) {
  using stack = history::stack_model;
  using queue = history::queue_model;
  const auto history_of = []<class M>(M start, int first, int second, int room = 1) {
    using k = typename M::kind;
    return history::linearizable<M>({{k::push, 1, 1, 1, 2}, {k::push, 2, room, 3, 4}, {k::pop, 0, first, 5, 6}, {k::pop, 0, second, 7, 8}},
                                    start);
  };
  EXPECT_TRUE(history_of(stack{}, 2, 1));
  EXPECT_FALSE(history_of(stack{}, 1, 2));
  EXPECT_FALSE(history_of(stack{}, 2, 2)) << "popped twice";
  EXPECT_TRUE(history_of(queue{}, 1, 2));
  EXPECT_FALSE(history_of(queue{}, 2, 1));
  EXPECT_TRUE(history_of(queue{1}, 1, history::none, 0));
  EXPECT_FALSE(history_of(queue{2}, 1, history::none, 0)) << "there was room";
}

TEST_P(concurrent_map_history, every_history_could_be_a_sequential_one) {
  in_runtime([] {
    std::mt19937_64 random(seed());
    const auto draw = [&](std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); };
    for (std::size_t round = scaled(300); round-- > 0;) {
      concurrent_map<int, int> m;
      std::atomic<std::uint64_t> clock{0};
      std::vector<std::vector<event>> lanes;
      for (int n = 0; n < 4; ++n) lanes.push_back(model::random_events(8, 2, 100 * n, draw));
      std::vector<party> parties;
      for (auto& lane : lanes) {
        parties.push_back(start([&] {
          for (event& e : lane) {
            history::record<model>(m, e, clock);
            if (e.argument % 3 == 0) yield();
          }
        }));
      }
      for (party& p : parties) p.join();
      ASSERT_TRUE(history::linearizable<model>(history::joined(lanes)));
    }
  });
}

}  // namespace
}  // namespace runnel::test
