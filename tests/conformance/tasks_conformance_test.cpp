// Behaviours of goroutines and of other libraries' tasks: how handles, results and fiber-local values live.
#include "support/fixture.hpp"

#include <runnel/fiber_local.hpp>

#include <array>
#include <atomic>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class tasks_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(tasks_conformance);

/// Counts its ends; movable, the moved-from one does not count.
struct counted {
  explicit counted(std::atomic<int>& n) : ends(&n) {}
  counted(counted&& o) noexcept : ends(std::exchange(o.ends, nullptr)) {}
  counted& operator=(counted&&) = delete;
  ~counted() {
    if (ends) ends->fetch_add(1);
  }
  std::atomic<int>* ends;
};

// ---- 11: handles -----------------------------------------------------------------------------------------------

TEST_P(tasks_conformance, tasks_11_a_moved_handle_joins_the_same_fiber_once) {
  in_runtime([] {
    std::atomic<int> runs{0};
    task<int> first = go([&] { return ++runs; });
    task<int> second = std::move(first);
    EXPECT_FALSE(first.valid());
    EXPECT_FALSE(first.done());
    EXPECT_THROW(first.join(), misuse);
    EXPECT_THROW(first.get(), misuse);
    first.cancel();
    ASSERT_TRUE(second.valid());

    first = std::move(second);
    EXPECT_FALSE(second.valid());
    EXPECT_THROW(second.join(), misuse);
    task<int>& itself = first;
    first = std::move(itself);
    ASSERT_TRUE(first.valid());
    first.join();
    EXPECT_TRUE(first.done());
    EXPECT_EQ(first.get(), 1);
    EXPECT_THROW(first.get(), misuse) << "a result is taken once";
    EXPECT_EQ(runs, 1);
  });
}

TEST_P(tasks_conformance, tasks_11_assigning_cancels_and_joins_the_overwritten_task_first) {
  in_runtime([this] {
    channel<int> never_sent;
    std::atomic<int> ends{0};
    task<void> t = go([&, c = counted(ends)] { EXPECT_THROW(never_sent.receive(), canceled); });
    until_waiting(1);
    bool ran = false;
    t = go([&] { ran = true; });
    EXPECT_EQ(ends, 1) << "the overwritten task has not ended";
    t.get();
    EXPECT_TRUE(ran);
  });
}

TEST_P(tasks_conformance, tasks_11_neighbour_an_assigned_handle_forgets_what_was_taken_through_it) {
  in_runtime([] {
    task<int> t = go([] { return 1; });
    EXPECT_EQ(t.get(), 1);
    t = go([] { return 2; });
    EXPECT_EQ(t.get(), 2) << "another task, whose result nobody took";
    task<int> moved = std::move(t);
    EXPECT_THROW(moved.get(), misuse) << "the same task, whose result was taken";
  });
}

TEST_P(tasks_conformance, tasks_11_neighbour_a_handle_may_be_joined_by_another_fiber) {
  in_runtime([] {
    std::vector<task<int>> all;  // moved again by each growth
    for (int i = 0; i < 20; ++i) all.push_back(go([i] { return i; }));
    std::swap(all.front(), all.back());
    auto sum = go([all = std::move(all)]() mutable {
      int s = 0;
      for (auto& t : all) s = s * 2 % 1000003 + t.get();
      return s;
    });
    int expected = 19;
    for (int i = 1; i < 19; ++i) expected = expected * 2 % 1000003 + i;
    EXPECT_EQ(sum.get(), expected * 2 % 1000003);
  });
}

// ---- 13: dropped handles -----------------------------------------------------------------------------------------

TEST_P(tasks_conformance, tasks_13_leaving_the_scope_cancels_and_joins_every_task) {
  in_runtime([this] {
    channel<int> never_sent;
    std::atomic<int> saw_canceled{0}, ends{0};
    {
      std::vector<task<void>> tasks;
      for (int i = 0; i < 10; ++i)
        tasks.push_back(go([&, at_end = counted(ends)] {
          const counted local(ends);
          try {
            never_sent.receive();
          } catch (const canceled&) {
            ++saw_canceled;
            throw;
          }
        }));
      until_waiting(10);
      EXPECT_EQ(ends, 0);
    }
    EXPECT_EQ(saw_canceled, 10);
    EXPECT_EQ(ends, 20);
  });
}

TEST_P(tasks_conformance, tasks_13_neighbour_an_exception_that_leaves_the_scope_joins_them_too) {
  in_runtime([this] {
    channel<int> never_sent;
    std::atomic<int> ends{0};
    try {
      std::array<task<void>, 3> tasks;
      for (auto& t : tasks)
        t = go([&, at_end = counted(ends)] {
          EXPECT_THROW(never_sent.receive(), canceled);
          EXPECT_THROW(yield(), canceled);
          const cancel_shield clean_up;
          yield();
        });
      until_waiting(3);
      throw std::runtime_error("out");
    } catch (const std::runtime_error&) {
      EXPECT_EQ(ends, 3);
    }
  });
}

TEST_P(tasks_conformance, tasks_13_neighbour_a_body_always_starts_even_in_a_canceled_context) {
  in_runtime([] {
    std::atomic<int> started{0}, met_it{0};
    auto [ctx, cancel] = derive_cancel(context::current());
    cancel();
    const context_scope ambient(ctx);
    for (int i = 0; i < 100; ++i) {
      auto t = go([&] {
        ++started;
        EXPECT_THROW(yield(), canceled);
        ++met_it;
      });
      if (i % 2) t.cancel();
    }
    EXPECT_EQ(started, 100);
    EXPECT_EQ(met_it, 100);
  });
}

// ---- 17: fiber-local values --------------------------------------------------------------------------------------

struct local_probe {
  local_probe() { ++made; }
  local_probe(const local_probe&) = delete;
  ~local_probe() {
    ++destroyed;
    if (at_end) at_end();
  }
  void (*at_end)() = nullptr;
  static inline std::atomic<int> made{0}, destroyed{0};
};
fiber_local<std::unique_ptr<local_probe>> local{+[] { return std::make_unique<local_probe>(); }};

TEST_P(tasks_conformance, tasks_17_a_fiber_local_destructor_starts_a_fiber_that_uses_the_same_key) {
  in_runtime([] {
    local_probe::made = local_probe::destroyed = 0;
    start([] {
      (*local)->at_end = +[] { go([] { EXPECT_EQ((*local)->at_end, nullptr); }).get(); };
    }).join();
    EXPECT_EQ(local_probe::made, 2);
    EXPECT_EQ(local_probe::destroyed, 2) << "before the join returned";
  });
}

TEST_P(tasks_conformance, tasks_17_neighbour_a_destructor_that_uses_its_own_key_gets_a_new_value) {
  in_runtime([] {
    local_probe::made = local_probe::destroyed = 0;
    start([] {
      (*local)->at_end = +[] {
        yield();
        static_cast<void>(local.get());
      };
    }).join();
    EXPECT_EQ(local_probe::made, 2);
    EXPECT_EQ(local_probe::destroyed, 2);
  });
}

// ---- 21: results -------------------------------------------------------------------------------------------------

struct from_number {
  explicit from_number(int n) : number(n) {}
  from_number(const from_number&) = default;
  int number;
};

TEST_P(tasks_conformance, tasks_21_results_of_every_kind) {
  in_runtime([] {
    int produced = 5;
    task<int&> reference = go([&]() -> int& { return produced; });
    EXPECT_EQ(&reference.get(), &produced);

    int side_effect = 0;
    task<void> nothing = go([&] { side_effect = 1; });
    nothing.get();
    EXPECT_EQ(side_effect, 1);

    task<const from_number> constant = go([]() -> const from_number { return from_number(7); });
    EXPECT_EQ(constant.get().number, 7);
    task<from_number> made = go([] { return from_number(8); });
    EXPECT_EQ(made.get().number, 8);
    task<std::unique_ptr<int>> moved = go([] { return std::make_unique<int>(9); });
    EXPECT_EQ(*moved.get(), 9);
  });
}

TEST_P(tasks_conformance, tasks_21_neighbour_a_result_nobody_took_is_destroyed_with_the_handle) {
  in_runtime([] {
    std::atomic<int> ends{0};
    {
      auto t = go([&] { return counted(ends); });
      t.join();
      EXPECT_EQ(ends, 0);
    }
    EXPECT_EQ(ends, 1);
    {
      auto t = go([&] { return counted(ends); });
      const counted taken = t.get();
      EXPECT_EQ(ends, 1);
    }
    EXPECT_EQ(ends, 2);
  });
}

TEST_P(tasks_conformance, tasks_21_neighbour_the_callable_is_destroyed_before_the_end_is_seen) {
  in_runtime([] {
    std::atomic<int> ends{0};
    auto t = go([at_end = counted(ends)]() -> int { throw 3; });
    t.join();
    EXPECT_EQ(ends, 1) << "though the handle lives";
    EXPECT_THROW(t.get(), int);
  });
}

}  // namespace
}  // namespace runnel::test
