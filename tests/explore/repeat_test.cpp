// Every schedule of every strategy can be repeated: nothing in the library chooses by itself.
#include "testing/explore/run.hpp"

#include <runnel/atomic.hpp>
#include <runnel/runnel.hpp>

#include <gtest/gtest.h>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

/// A little of everything.
void medley() {
  mutex m;
  channel<int> c(1), unbuffered;
  atomic<int> n(0);
  wait_group group;
  for (int i = 0; i < 3; ++i)
    group.go([&, i] {
      for (int k = 0; k < 3; ++k) {
        switch (testing::choose(5)) {
          case 0: {
            const std::lock_guard hold(m);
            sleep_for(1ms * i);
            break;
          }
          case 1: static_cast<void>(c.send_for(i, 2ms)); break;
          case 2: select(on_receive(c, [](auto) {}), on_receive(unbuffered, [](auto) {}), on_timeout(1ms)); break;
          case 3: static_cast<void>(unbuffered.send_for(i, 1ms)); break;
          default: n.fetch_add(1);
        }
      }
    });
  auto limited = derive_timeout(context::current(), 3ms);
  auto called = after_func(limited.ctx, [&] { n.fetch_add(1); });
  ticker t(1ms);
  t.receive();
  try {
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 3; ++i)
        g.go([&, i] {
          if (testing::choose(4) == 0) throw std::runtime_error("one of them");
          sleep_for(1ms * i);
        });
    });
  } catch (const std::runtime_error&) {
  }
  group.wait();
}

TEST(repeat, every_plan_leads_to_the_same_steps_again) {
  auto call = [](void*) { medley(); };
  const detail::world_body body{call, nullptr};
  std::size_t steps = 0;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    explore_options o;
    o.seed = seed;
    detail::explorer::planner planner(o);
    for (int i = 0; i < 50; ++i) {
      const detail::explorer::plan p = planner.next();
      const auto first = detail::explorer::run(p, nullptr).execute(body, {});
      planner.learn(first.choices, first.census);
      ASSERT_EQ(first.verdict, verdict::ok) << trace_of(first);
      const auto again = detail::explorer::run(p, &first.hashes).execute(body, {});
      ASSERT_EQ(again.diverged_after, 0u) << to_text(p);
      ASSERT_EQ(again.decisions, first.decisions);
      ASSERT_EQ(again.steps, first.steps);
      steps += first.steps;
    }
  }
  EXPECT_GT(steps, 200u * 50u);
}

}  // namespace
}  // namespace runnel::test
