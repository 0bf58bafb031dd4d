// RCU and its cell, in many orders of events.
#include "explored.hpp"

#include <runnel/atomic.hpp>
#include <runnel/lockfree/rcu.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/testing/shared_var.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

namespace runnel::test {
namespace {

/// Two readers look at the value that an atomic number names; the writer names the other one and changes the first.
struct two_values {
  void read() {
    const std::scoped_lock section(rcu_default_domain());
    static_cast<void>(values[current.load()].load());
  }
  atomic<int> current{0};
  shared_var<int> values[2];
};

TEST(explored_rcu, a_grace_period_ends_after_the_sections_that_began_before_it) {
  holds_in(3'000, [] {
    two_values v;
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 2; ++n) g.go([&] { v.read(); });
      g.go([&] {
        v.current.store(1);
        rcu_synchronize();
        v.values[0].store(7);
      });
    });
  });
}

TEST(explored_rcu, without_a_grace_period_a_race_is_found) {
  const auto r = explore({.schedules = 3'000}, [] {
    two_values v;
    with_task_group([&](task_group& g) {
      g.go([&] { v.read(); });
      g.go([&] {
        v.current.store(1);
        v.values[0].store(7);
      });
    });
  });
  EXPECT_EQ(r.verdict, verdict::race);
}

TEST(explored_rcu, an_inner_section_ends_nothing_and_two_writers_wait_each_for_its_own) {
  holds_in(3'000, [] {
    two_values v, w;
    with_task_group([&](task_group& g) {
      g.go([&] {
        const std::scoped_lock section(rcu_default_domain());
        const int i = v.current.load();
        w.read();
        static_cast<void>(v.values[i].load());
      });
      for (two_values* own : {&v, &w})
        g.go([own] {
          own->current.store(1);
          rcu_synchronize();
          own->values[0].store(7);
        });
    });
  });
}

/// Counts how many there are; its end writes what readers read.
struct counted {
  counted(std::atomic<int>& a, int v) : alive(&a), value(v) { ++*alive; }
  counted(counted&& o) noexcept : alive(o.alive), value(o.value.load()) { ++*alive; }
  ~counted() {
    value.store(-1);
    --*alive;
  }
  std::atomic<int>* alive;
  shared_var<int> value;
};

TEST(explored_rcu, no_update_is_lost_and_each_old_value_ends_once_behind_its_readers) {
  holds_in(2'000, [] {
    std::atomic<int> alive{0};
    {
      rcu<counted> cell(counted(alive, 0));
      with_task_group([&](task_group& g) {
        for (int n = 1; n <= 2; ++n)
          g.go([&, n] { cell.update([&](const counted& c) { return counted(alive, c.value.load() + n); }); });
        g.go([&] {
          const auto c = cell.read();
          const int v = c->value.load();
          require(v >= 0 && v <= 3, "an old value has ended");
        });
      });
      require(cell.read()->value.load() == 3, "an update is lost");
      rcu_barrier();
      require(alive == 1, "old values are left, or the current one is gone");
    }
    require(alive == 0, "left");
  });
}

TEST(explored_rcu, a_barrier_waits_for_deleters_that_others_run) {
  holds_in(3'000, [] {
    std::atomic<int> deleted{0};  // by deleters that others may run at the same time
    int objects[4];
    wait_group retired;
    retired.add(2);
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 2; ++n)
        g.go([&, n] {
          for (int i = 2 * n; i < 2 * n + 2; ++i)
            rcu_retire(&objects[i], [&](int*) {
              yield();
              ++deleted;
            });
          retired.done();
        });
      g.go([&] {
        retired.wait();
        rcu_barrier();
        require(deleted == 4, "too early");
      });
    });
  });
}

TEST(explored_rcu, to_wait_in_a_section_is_misuse) {
  const auto r = explore({.schedules = 10}, [] {
    channel<int> c(1);
    const std::scoped_lock section(rcu_default_domain());
    c.receive();
  });
  EXPECT_EQ(r.verdict, verdict::misuse);
  EXPECT_NE(r.trace.find("inside an RCU read section"), std::string::npos) << r.trace;
  // What it has left holds up nobody.
  EXPECT_FALSE(explore({.schedules = 10}, [] { rcu_synchronize(); }).failed);
  rcu_synchronize();
}

TEST(explored_rcu, what_a_schedule_leaves_is_deleted_at_its_end_and_disturbs_no_other) {
  static int deleted = 0;
  static int objects[3];
  deleted = 0;
  const auto r = explore({.schedules = scaled(300)}, [] {
    with_task_group([](task_group& g) {
      for (int& o : objects)
        g.go([&o] {
          rcu_retire(&o, [](int*) {
            yield();
            ++deleted;
          });
        });
    });
  });
  EXPECT_FALSE(r.failed) << r.trace;
  EXPECT_EQ(deleted, 3 * static_cast<int>(r.schedules + 1)) << "the first schedule runs twice";
}

// lockfree-27: the sleeper announces itself and looks again, the setter sets and looks for a sleeper. In rcu_domain.cpp the
// sleeper waits for a grace period and the setter leaves a section; under weak memory: tests/model/rcu_model_test.cpp, `rcu`.
TEST(explored_rcu, lockfree_27_no_order_leaves_a_sleeper_asleep_whose_flag_is_set) {
  holds_in(20'000, [] {
    atomic<bool> set(false);
    auto_reset_event wake;
    atomic<bool> asleep(false);
    auto sleeper = go([&] {
      while (!set.load()) {
        asleep.store(true);
        if (set.load()) break;
        wake.wait();
      }
    });
    auto setter = go([&] {
      set.store(true);
      if (asleep.load()) wake.set();
    });
    sleeper.get();
    setter.get();
  });
}

TEST(explored_rcu, lockfree_27_neighbour_who_does_not_look_again_may_sleep_for_ever) {
  const auto r = explore({.schedules = 20'000}, [] {
    atomic<bool> set(false), asleep(false);
    auto_reset_event wake;
    auto sleeper = go([&] {
      if (set.load()) return;
      asleep.store(true);
      wake.wait();
    });
    auto setter = go([&] {
      set.store(true);
      if (asleep.load()) wake.set();
    });
    sleeper.get();
    setter.get();
  });
  EXPECT_EQ(r.verdict, verdict::deadlock);
}

}  // namespace
}  // namespace runnel::test
