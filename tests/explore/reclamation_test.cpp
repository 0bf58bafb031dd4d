// Hazard pointers and the stack, in many orders of events.
#include "../support/sequence_model.hpp"
#include "explored.hpp"

#include <runnel/atomic.hpp>
#include <runnel/lockfree/hazard_pointer.hpp>
#include <runnel/lockfree/stack.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sched/frame.hpp>
#include <runnel/testing/shared_var.hpp>

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

namespace runnel::test {
namespace {

/// Its end writes what its readers read.
struct configuration : hazard_pointer_obj_base<configuration> {
  explicit configuration(int v) : value(v) {}
  ~configuration() { value.store(0); }
  shared_var<int> value;
};

enum class mistake { none, used_after, deleted_at_once };

/// Two read a configuration that a third replaces.
auto reload(mistake made) {
  return [made] {
    runnel::atomic<configuration*> current(new configuration(1));
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 2; ++n)
        g.go([&] {
          hazard_pointer h = make_hazard_pointer();
          const configuration* const c = h.protect(current);
          if (made == mistake::used_after) h.reset_protection();
          require(c->value.load() != 0, "reclaimed while in use");
          yield();
          if (made == mistake::none) require(c->value.load() != 0, "reclaimed over a wait");
        });
      g.go([&] {
        configuration* const old = current.exchange(new configuration(2));
        made == mistake::deleted_at_once ? delete old : old->retire();
      });
    });
    delete current.load();
    hazard_pointer_clean_up();
  };
}

TEST(explored_reclamation, what_readers_do_comes_before_the_deleter) { holds_in(3'000, reload(mistake::none)); }

TEST(explored_reclamation, use_without_protection_is_found) {
  if (!sched::pools_frames()) GTEST_SKIP() << "a sanitizer finds it too, and what a run that has failed leaves behind";
  EXPECT_TRUE(explore({.schedules = 3'000}, reload(mistake::used_after)).failed);
  EXPECT_TRUE(explore({.schedules = 3'000}, reload(mistake::deleted_at_once)).failed);
}

TEST(explored_reclamation, a_protection_is_handed_on_with_its_hazard_pointer) {
  struct held {
    hazard_pointer h;
    const configuration* c;
  };
  holds_in(2'000, [] {
    runnel::atomic<configuration*> current(new configuration(1));
    auto [tx, rx] = make_channel<held>();
    with_task_group([&, tx = &tx, rx = &rx](task_group& g) {
      g.go([&] {
        held mine{make_hazard_pointer(), nullptr};
        mine.c = mine.h.protect(current);
        tx->send(std::move(mine));
      });
      g.go([&] { current.exchange(new configuration(2))->retire(); });
      g.go([&] {
        const held mine = std::move(*rx->receive());
        require(mine.c->value.load() != 0, "reclaimed on the way");
      });
    });
    delete current.load();
    hazard_pointer_clean_up();
  });
}

TEST(explored_reclamation, each_retired_object_is_reclaimed_once_and_a_deleter_may_retire) {
  struct linked : hazard_pointer_obj_base<linked> {
    linked(int& count, linked* n) : ended(count), next(n) {}
    ~linked() {
      ++ended;
      if (next) next->retire();
    }
    int& ended;
    linked* next;
  };
  holds_in(1'000, [] {
    int ended = 0;
    {
      hazard_pointer h = make_hazard_pointer();
      auto* const last = new linked(ended, nullptr);
      h.reset_protection(last);
      (new linked(ended, new linked(ended, last)))->retire();
      require(ended == 2, "not at once");
    }
    hazard_pointer_clean_up();
    require(ended == 3, "not the last one");
  });
}

TEST(explored_reclamation, every_history_of_a_stack_could_be_a_sequential_one) {
  holds_in(2'000, [] {
    using model = history::stack_model;
    lockfree::stack<int> s;
    std::atomic<std::uint64_t> clock{0};
    std::vector<std::vector<model::event>> lanes;
    const auto draw = [](std::uint32_t bound) { return static_cast<std::uint32_t>(testing::choose(bound)); };
    for (int n = 0; n < 3; ++n) lanes.push_back(model::random_events(4, 100 * n, draw));
    with_task_group([&](task_group& g) {
      for (auto& lane : lanes)
        g.go([&] {
          for (model::event& e : lane) history::record<model>(s, e, clock);
        });
    });
    require(history::linearizable<model>(history::joined(lanes)), "no sequential stack answers so");
  });
}

/// One fills in what it has pushed already, if `late`.
auto hand_over(bool late) {
  return [late] {
    lockfree::stack<shared_var<int>*> s;
    shared_var<int> v(0);
    with_task_group([&](task_group& g) {
      g.go([&] {
        if (!late) v.store(1);
        s.push(&v);
        if (late) v.store(1);
      });
      g.go([&] {
        if (const auto got = s.try_pop()) require((*got)->load() == 1 || late, "not seen");
      });
    });
  };
}

TEST(explored_reclamation, what_comes_before_a_push_is_seen_by_who_pops) { holds_in(1'000, hand_over(false)); }

#if !defined(RUNNEL_TSAN)  // it would find it first, and end the test
TEST(explored_reclamation, what_comes_after_a_push_is_a_race) {
  const auto r = explore({.schedules = 1'000}, hand_over(true));
  EXPECT_EQ(r.verdict, verdict::race) << r.trace;
}
#endif

}  // namespace
}  // namespace runnel::test
