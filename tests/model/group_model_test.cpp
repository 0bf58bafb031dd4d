// task_group: what a start and an end do to the group, without a fiber in between.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include <runnel/task_group.hpp>

#include <memory>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;

// The private halves of go() and of a task's end.
template <class Tag, auto Member>
struct expose {
  friend auto member(Tag) noexcept { return Member; }
};
struct acquire_of {
  friend auto member(acquire_of) noexcept;
};
struct try_acquire_of {
  friend auto member(try_acquire_of) noexcept;
};
struct release_of {
  friend auto member(release_of) noexcept;
};
template struct expose<acquire_of, &runnel::task_group::acquire_slot>;
template struct expose<try_acquire_of, &runnel::task_group::try_acquire_slot>;
template struct expose<release_of, &runnel::task_group::release_slot>;

void begin_task(runnel::task_group& g) { (g.*member(acquire_of{}))(nullptr); }
bool try_begin_task(runnel::task_group& g) { return (g.*member(try_acquire_of{}))(); }
void end_task(runnel::task_group& g) { (g.*member(release_of{}))(); }

TEST(task_group, wait_returns_behind_the_last_end) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto g = std::make_unique<runnel::task_group>();
    int done[2] = {};
    begin_task(*g);
    begin_task(*g);
    model::thread a([&] {
      done[0] = 1;
      end_task(*g);
    });
    model::thread b([&] {
      done[1] = 1;
      end_task(*g);
    });
    g->wait();
    check(done[0] == 1 && done[1] == 1, "what a task did is visible");
    g.reset();  // nobody touches it any more
  }));
}

TEST(task_group, a_task_may_start_another_while_the_group_is_waited_for) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto g = std::make_unique<runnel::task_group>();
    int done[2] = {};
    begin_task(*g);
    model::thread first([&] {
      begin_task(*g);
      model::thread second([&] {
        done[1] = 1;
        end_task(*g);
      });
      done[0] = 1;
      end_task(*g);
      second.join();
    });
    g->wait();
    check(done[0] == 1 && done[1] == 1, "what a task did is visible");
    g.reset();
  }));
}

TEST(task_group, who_has_given_up_may_wait_again_and_destroy_it) {
  int outcomes = 0;
  expect_passes(explore(bounds{3, 2}, [&] {
    around::world w;
    auto g = std::make_unique<runnel::task_group>();
    begin_task(*g);
    int done = 0;
    model::thread task([&] {
      done = 1;
      end_task(*g);
    });
    const bool at_once = g->wait_for(std::chrono::nanoseconds(1));
    if (!at_once) g->wait();
    check(done == 1, "what the task did is visible");
    g.reset();
    outcomes |= 1 << at_once;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(task_group, it_can_be_used_again_after_somebody_gave_up) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    runnel::task_group g;
    int first = 0, second = 0;
    begin_task(g);
    model::thread a([&] {
      first = 1;
      end_task(g);
    });
    g.wait_for(std::chrono::nanoseconds(1));
    begin_task(g);
    model::thread b([&] {
      second = 1;
      end_task(g);
    });
    g.wait();
    check(first == 1 && second == 1, "what a task did is visible");
    a.join(), b.join();
  }));
}

TEST(task_group, at_a_limit_of_one_a_task_sees_what_the_last_one_did) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    runnel::task_group g({.limit = 1});
    int shared = 0;
    const auto task = [&] {
      begin_task(g);
      ++shared;
      end_task(g);
    };
    model::thread t(task);
    task();
    t.join();
    g.wait();
    check(shared == 2, "an update was lost");
  }));
}

TEST(task_group, three_at_a_limit_of_one_and_none_is_left_waiting) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    runnel::task_group g({.limit = 1});
    int shared = 0;
    const auto task = [&] {
      begin_task(g);
      ++shared;
      end_task(g);
    };
    model::thread a(task), b(task);
    task();
    a.join(), b.join();
    check(shared == 3, "an update was lost");
  }));
}

TEST(task_group, who_tries_takes_no_slot_that_is_not_free) {
  int outcomes = 0;
  expect_passes(explore(bounds{3, 2}, [&] {
    around::world w;
    runnel::task_group g({.limit = 1});
    int shared = 0, got = 0;
    model::thread t([&] {
      if (!try_begin_task(g)) return;
      ++shared;
      ++got;
      end_task(g);
    });
    begin_task(g);
    ++shared;
    end_task(g);
    t.join();
    g.wait();
    check(shared == 1 + got, "an update was lost");
    outcomes |= 1 << got;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(task_group, a_slot_passes_while_the_group_is_waited_for) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    auto g = std::make_unique<runnel::task_group>(runnel::task_group_options{.limit = 2});
    int done[3] = {};
    begin_task(*g);
    begin_task(*g);
    model::thread first([&] {
      done[0] = 1;
      begin_task(*g);  // the limit is reached, unless the other one has ended
      done[2] = 1;
      end_task(*g);
      end_task(*g);
    });
    model::thread second([&] {
      done[1] = 1;
      end_task(*g);
    });
    g->wait();
    check(done[0] == 1 && done[1] == 1 && done[2] == 1, "what a task did is visible");
    g.reset();
  }));
}

TEST(task_group, one_that_waits_for_a_slot_and_is_canceled_takes_none) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    auto d = runnel::derive_cancel(runnel::context::background());
    auto g = std::make_unique<runnel::task_group>(runnel::context::background(), runnel::task_group_options{.limit = 1});
    begin_task(*g);
    model::thread task([&] { end_task(*g); });
    model::thread canceler([&] { d.cancel.cancel(); });
    try {
      const runnel::context_scope ambient(d.ctx);
      begin_task(*g);
      end_task(*g);
      outcomes |= 1;
    } catch (const runnel::canceled&) {
      outcomes |= 2;
    }
    g->wait();
    g.reset();
    task.join();
    canceler.join();
  }));
  EXPECT_EQ(outcomes, 3);
}

}  // namespace
