// once and lazy, in many orders of events.
#include "explored.hpp"

#include <runnel/runnel.hpp>
#include <runnel/sync/lazy.hpp>
#include <runnel/sync/once.hpp>
#include <runnel/testing/shared_var.hpp>

#include <atomic>

namespace runnel::test {
namespace {

TEST(explored_once, what_the_run_wrote_is_read_without_a_race_however_often_it_failed) {
  const auto r = explore({.schedules = scaled(3'000)}, [] {
    once o;
    shared_var<int> made(0);
    int runs = 0;  // one at a time
    std::atomic<int> failures{0};
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 3; ++n)
        g.go([&] {
          try {
            o.call([&] {
              ++runs;
              yield();
              if (testing::choose(2)) throw 1;
              made.store(7);
            });
            require(made.load() == 7, "returned before it was done");
          } catch (int) {
            ++failures;
          }
        });
    });
    require(runs == failures + (o.done() ? 1 : 0), "a run for each failure, and one that succeeds");
  });
  EXPECT_FALSE(r.failed) << r.trace;
}

TEST(explored_once, a_canceled_run_or_wait_leaves_the_value_to_the_others) {
  const auto r = explore({.schedules = scaled(3'000)}, [] {
    auto c = derive_cancel(context::current());
    lazy<int> l([&] {
      yield();
      return 7;
    });
    std::atomic<int> got{0};
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 2; ++n)
        g.go([&] {
          const context_scope scope(c.ctx);
          try {
            got += l.get() == 7;
          } catch (const canceled&) {
          }
        });
      g.go([&] { c.cancel(); });
      g.go([&] { require(l.get() == 7, "another value"); });
    });
    require(l.done() && got <= 2, "lost");
  });
  EXPECT_FALSE(r.failed) << r.trace;
}

}  // namespace
}  // namespace runnel::test
