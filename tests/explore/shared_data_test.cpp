// concurrent_map, pool and atomic_snapshot, in many orders of events.
#include "../support/map_model.hpp"
#include "explored.hpp"

#include <runnel/runnel.hpp>
#include <runnel/sync/atomic_snapshot.hpp>
#include <runnel/sync/concurrent_map.hpp>
#include <runnel/sync/pool.hpp>
#include <runnel/testing/shared_var.hpp>

#include <atomic>
#include <vector>

namespace runnel::test {
namespace {

TEST(explored_shared_data, every_history_of_a_map_could_be_a_sequential_one) {
  holds_in(2'000, [] {
    using model = history::map_model;
    concurrent_map<int, int> m;
    std::atomic<std::uint64_t> clock{0};
    std::vector<std::vector<model::event>> lanes;
    const auto draw = [](std::uint32_t bound) { return static_cast<std::uint32_t>(testing::choose(bound)); };
    for (int n = 0; n < 3; ++n) lanes.push_back(model::random_events(4, 1, 100 * n, draw));
    with_task_group([&](task_group& g) {
      for (auto& lane : lanes)
        g.go([&] {
          for (model::event& e : lane) history::record<model>(m, e, clock);
        });
    });
    require(history::linearizable<model>(history::joined(lanes)), "no sequential map answers so");
  });
}

TEST(explored_shared_data, one_creates_and_a_failed_or_canceled_creation_is_tried_again) {
  holds_in(3'000, [] {
    concurrent_map<int, int> m;
    auto c = derive_cancel(context::current());
    std::atomic<int> created{0}, inside{0};
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 3; ++n)
        g.go([&, n] {
          const context_scope scope(n == 0 ? c.ctx : context::current());
          try {
            require(m.get_or_create(1, [&] {
              require(inside++ == 0, "two create");
              struct leaves {
                std::atomic<int>& count;
                ~leaves() { --count; }
              } at_end{inside};
              yield();
              if (testing::choose(2)) throw 1;
              ++created;
              return 7;
            }) == 7, "another value");
          } catch (int) {
          } catch (const canceled&) {
          }
        });
      g.go([&] { c.cancel(); });
    });
    require(created <= 1 && m.contains(1) == (created == 1), "created twice, or lost");
  });
}

TEST(explored_shared_data, an_object_has_one_user_and_what_the_last_one_did_is_seen) {
  holds_in(2'000, [] {
    struct used {
      used() = default;
      used(used&&) noexcept {}
      shared_var<int> writes{0};
    };
    pool<used> p;
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 3; ++n)
        g.go([&] {
          auto lease = p.get();
          lease->writes.store(lease->writes.load() + 1);
          yield();
          lease->writes.store(lease->writes.load() + 1);
        });
    });
    int writes = 0;
    std::vector<pool<used>::lease> all;
    while (auto lease = p.try_get()) {
      writes += lease->operator->()->writes.load();
      all.push_back(std::move(*lease));
    }
    require(writes == 6, "lost");
  });
}

TEST(explored_shared_data, no_update_of_a_snapshot_is_lost_and_what_was_before_it_is_seen) {
  holds_in(2'000, [] {
    atomic_snapshot<int> s(0);
    shared_var<int> written(0);
    with_task_group([&](task_group& g) {
      g.go([&] {
        written.store(1);
        s.update([](int v) { return v + 100; });
      });
      g.go([&] { s.update([](int v) { return v + 1; }); });
      g.go([&] {
        if (*s.load() >= 100) require(written.load() == 1, "too early");
      });
    });
    require(*s.load() == 101, "an update is lost");
  });
}

}  // namespace
}  // namespace runnel::test
