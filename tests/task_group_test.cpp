// Orders and limits of a task group, from several fibers and threads at once.
#include "support/fixture.hpp"

#include <atomic>
#include <memory>
#include <thread>

namespace runnel::test {
namespace {

class task_group_order : public behaviour {};
RUNNEL_EVERY_WIDTH(task_group_order);

TEST_P(task_group_order, at_a_limit_of_one_what_a_task_did_happens_before_the_next) {
  in_runtime([] {
    const std::size_t n = scaled(2000);
    std::size_t shared = 0;  // no lock, no atomic: the limit is enough
    with_task_group({.limit = 1}, [&](task_group& g) {
      for (std::size_t i = 0; i < n; ++i) {
        g.go([&shared] {
          ++shared;
          if (shared % 7 == 0) yield();
        });
      }
    });
    EXPECT_EQ(shared, n);
  });
}

TEST_P(task_group_order, never_more_than_the_limit_whoever_starts_them) {
  in_runtime([] {
    constexpr int limit = 3;
    task_group g({.limit = limit});
    std::atomic<int> running{0}, most{0}, done{0};
    const auto task = [&] {
      const int now = ++running;
      for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
      }
      yield();
      --running;
      ++done;
    };
    const int n = static_cast<int>(scaled(300));
    with_task_group([&](task_group& starters) {
      for (int k = 0; k < 4; ++k) {
        starters.go([&] {
          for (int i = 0; i < n; ++i) g.go(task);
        });
      }
    });
    g.wait();
    EXPECT_LE(most, limit);
    EXPECT_EQ(done, 4 * n);
  });
}

TEST_P(task_group_order, it_may_be_destroyed_as_soon_as_a_wait_that_was_given_up_before_has_returned) {
  in_runtime([] {
    for (std::size_t i = 0, n = scaled(300); i < n; ++i) {
      auto g = std::make_unique<task_group>();
      for (int k = 0; k < 3; ++k) g->go([] { yield(); });
      while (!g->wait_for(std::chrono::nanoseconds(1))) {
      }
      g.reset();
    }
  });
}

TEST_P(task_group_order, tasks_may_be_started_from_threads_while_the_group_is_waited_for) {
  in_runtime([] {
    task_group g;
    std::atomic<int> done{0};
    const int n = static_cast<int>(scaled(500));
    g.go([&] {
      blocking([&] {  // the group has a task as long as this runs
        std::thread t([&] {
          for (int i = 0; i < n; ++i) g.go([&] { ++done; });
        });
        t.join();
      });
    });
    g.wait();
    EXPECT_EQ(done, n);
  });
}

TEST_P(task_group_order, a_task_that_waits_for_its_own_group_is_told_so_and_another_groups_is_not) {
  in_runtime([] {
    task_group outer;
    std::atomic<int> told{0};
    outer.go([&] {
      EXPECT_THROW(outer.wait(), misuse);
      EXPECT_THROW(static_cast<void>(outer.wait_for(std::chrono::hours(1))), misuse);
      ++told;
      task_group inner;
      inner.go([&] { EXPECT_THROW(inner.wait(), misuse); });
      inner.wait();
      EXPECT_FALSE(outer.get_context().is_canceled()) << "the misuse has changed nothing";
    });
    outer.wait();
    EXPECT_EQ(told, 1);
    with_task_group([](task_group& g) {
      g.go([] {});
      g.wait();  // the body is no task of the group
    });
  });
}

class task_group_death_test : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(task_group_death_test, a_task_that_destroys_its_own_group_ends_the_process) {
  EXPECT_DEATH(run([] {
                 auto g = std::make_unique<task_group>();
                 g->go([&] { g.reset(); });
                 channel<unit>().receive();
               }),
               "destroyed by one of its own tasks");
}

}  // namespace
}  // namespace runnel::test
