// Exploration from fibers, several at a time, on any number of workers: each decides its own order.
#include <runnel/atomic.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/explore.hpp>

#include <gtest/gtest.h>

namespace runnel::test {
namespace {

class explore_workers : public ::testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(widths, explore_workers, ::testing::Values(1u, 2u, 4u));

void lost_update() {
  atomic<int> n(0);
  with_task_group([&](task_group& g) {
    for (int i = 0; i < 2; ++i) g.go([&] { n.store(n.load() + 1); });
  });
  if (n.load() != 2) throw std::runtime_error("an update is lost");
}

TEST_P(explore_workers, several_explorations_do_not_disturb_each_other) {
  std::vector<std::string> tokens(4);
  run({.workers = GetParam()}, [&] {
    with_task_group([&](task_group& g) {
      for (std::size_t i = 0; i < tokens.size(); ++i)
        g.go([&tokens, i] {
          const auto r = explore({.seed = i}, lost_update);
          EXPECT_EQ(r.verdict, verdict::exception);
          EXPECT_THROW(replay(r.token, lost_update), std::runtime_error);
          tokens[i] = r.token;
        });
    });
  });
  static std::vector<std::string> first = tokens;
  EXPECT_EQ(tokens, first) << "the number of workers changes nothing";
}

TEST_P(explore_workers, not_inside_itself) {
  run({.workers = GetParam()}, [] { EXPECT_EQ(explore([] { explore([] {}); }).verdict, verdict::misuse); });
}

}  // namespace
}  // namespace runnel::test
