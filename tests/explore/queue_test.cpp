// The lock-free queues, in many orders of events.
#include "../support/queues.hpp"
#include "../support/sequence_model.hpp"
#include "explored.hpp"

#include <runnel/runnel.hpp>
#include <runnel/testing/shared_var.hpp>

#include <atomic>
#include <memory>
#include <vector>

namespace runnel::test {
namespace {

using model = history::queue_model;

TEST(explored_queue, every_history_could_be_a_sequential_one) {
  with_each_queue([](auto flavour) {
    holds_in(1'000, [&] {
      const auto q = make_queue<int>(flavour, 2);
      std::atomic<std::uint64_t> clock{0};
      const auto draw = [](std::uint32_t bound) { return static_cast<std::uint32_t>(testing::choose(bound)); };
      std::vector<std::vector<model::event>> lanes;
      for (int n = 0; n < (flavour.producers == 1 ? 2 : 3); ++n) {
        auto lane = model::random_events(4, 100 * n, draw);
        for (model::event& e : lane) {
          if (flavour.consumers == 1 && n > 0) e.what = model::kind::push;
          if (flavour.producers == 1 && n == 0) e.what = model::kind::pop;
        }
        lanes.push_back(std::move(lane));
      }
      with_task_group([&](task_group& g) {
        for (auto& lane : lanes)
          g.go([&] {
            for (model::event& e : lane) history::record<model>(*q, e, clock);
          });
      });
      model fresh;
      if (flavour.bounded) fresh.capacity = 2;
      require(history::linearizable<model>(history::joined(lanes), fresh), "no sequential queue answers so");
    });
  });
}

/// What it points to is written without a lock by who has the element.
using burden = std::unique_ptr<shared_var<int>>;

TEST(explored_queue, what_was_done_before_a_push_is_seen_after_the_pop) {
  with_each_queue([](auto flavour) {
    holds_in(1'000, [&] {
      const auto q = make_queue<burden>(flavour, 1);
      with_task_group([&](task_group& g) {
        g.go([&] {
          for (int i = 1; i <= 2; ++i) {
            auto v = std::make_unique<shared_var<int>>(0);
            v->store(i);
            while (!try_push(*q, std::move(v))) yield();
          }
        });
        g.go([&] {
          for (int i = 1; i <= 2;) {
            const auto v = q->try_pop();
            if (!v) {
              yield();
              continue;
            }
            require((*v)->load() == i, "another one");
            ++i;
          }
        });
      });
    });
  });
}

TEST(explored_queue, a_free_list_orders_its_users) {
  holds_in(1'000, [] {
    lockfree::mpmc_queue<burden> free(2);
    for (int i = 0; i < 2; ++i) free.try_push(std::make_unique<shared_var<int>>(0));
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 3; ++n)
        g.go([&] {
          std::optional<burden> mine;
          while (!(mine = free.try_pop())) yield();
          (*mine)->store((*mine)->load() + 1);
          yield();
          require(free.try_push(std::move(*mine)), "full");
        });
    });
    int uses = 0;
    while (const auto v = free.try_pop()) uses += (*v)->load();
    require(uses == 3, "lost");
  });
}

TEST(explored_queue, a_look_that_is_not_ordered_after_the_push_is_found_to_race) {
  const auto r = explore({.schedules = 200}, [] {
    lockfree::spsc_queue<int> q(2);
    shared_var<int> written(0);
    with_task_group([&](task_group& g) {
      g.go([&] {
        q.try_push(1);
        written.store(1);  // after the push
      });
      g.go([&] {
        if (q.try_pop()) static_cast<void>(written.load());
      });
    });
  });
  EXPECT_TRUE(r.failed);
}

}  // namespace
}  // namespace runnel::test
