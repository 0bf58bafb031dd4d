// Small programs that are known to be wrong, each found and found again; their repaired twins are not reported.
#include "explored.hpp"

#include <runnel/atomic.hpp>
#include <runnel/fd.hpp>
#include <runnel/runnel.hpp>

#include <unistd.h>

#include <array>
#include <optional>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

// ---- lost update

template <class Add>
auto two_adders(Add add) {
  return [add] {
    atomic<int> n(0);
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 2; ++i) g.go([&] { add(n); });
    });
    require(n.load() == 2, "an update is lost");
  };
}

TEST(explore, a_lost_update_is_found) {
  found(verdict::exception, two_adders([](atomic<int>& n) { n.store(n.load() + 1); }));
  correct(two_adders([](atomic<int>& n) { n.fetch_add(1); }));
}

// ---- races

#if !defined(RUNNEL_TSAN)  // it would find them first, and end the test

TEST(explore, what_nothing_orders_is_a_race) {
  const auto r = found(verdict::race, [] {
    shared_var<int> v(0);
    auto t = go({.name = "writer"}, [&] { v.store(1); });
    static_cast<void>(v.load());
    t.get();
  });
  EXPECT_NE(r.trace.find("explore_test.cpp:"), std::string::npos) << r.trace;
  EXPECT_NE(r.trace.find("\"writer\""), std::string::npos) << r.trace;
  correct([] {
    shared_var<int> v(0);
    mutex m;
    auto t = go([&] {
      const std::lock_guard hold(m);
      v.store(v.load() + 1);
    });
    {
      const std::lock_guard hold(m);
      v.store(v.load() + 1);
    }
    t.get();
    require(v.load() == 2, "lost");
  });
}

TEST(explore, a_channel_orders_and_sleep_does_not) {
  correct([] {
    shared_var<int> v(0);
    auto [tx, rx] = make_channel<int>();
    auto t = go([&v, tx = std::move(tx)] {
      v.store(1);
      tx.send(0);
    });
    rx.receive();
    require(v.load() == 1, "not seen");
    t.get();
  });
  found(verdict::race, [] {
    shared_var<int> v(0);
    auto t = go([&v] { v.store(1); });
    sleep_for(1s);
    static_cast<void>(v.load());
    t.get();
  });
}

TEST(explore, the_order_of_an_atomic_counts) {
  auto published = [](std::memory_order store, std::memory_order load) {
    return [=] {
      shared_var<int> v(0);
      atomic<bool> ready(false);
      auto t = go([&] {
        v.store(1);
        ready.store(true, store);
      });
      if (ready.load(load)) require(v.load() == 1, "not seen");
      t.get();
    };
  };
  found(verdict::race, published(std::memory_order_relaxed, std::memory_order_relaxed));
  correct(published(std::memory_order_release, std::memory_order_acquire));
}

#endif

// ---- deadlocks and leaks

auto two_locks(bool same_order) {
  return [same_order] {
    mutex a, b;
    auto t = go({.name = "other"}, [&] {
      const std::lock_guard first(same_order ? a : b);
      const std::lock_guard second(same_order ? b : a);
    });
    {
      const std::lock_guard first(a);
      const std::lock_guard second(b);
    }
    t.get();
  };
}

TEST(explore, two_locks_in_two_orders_are_a_deadlock) {
  const auto r = found(verdict::deadlock, two_locks(false));
  EXPECT_NE(r.trace.find("\"other\": parked in mutex"), std::string::npos) << r.trace;
  correct(two_locks(true));
}

/// The body gives up waiting when it hears of a failure first.
auto early_return(std::size_t capacity) {
  return [capacity] {
    auto [tx, rx] = make_channel<int>(0);
    channel<int> results(capacity);
    go_detached({.name = "worker"}, [results] { results.send(1); });
    auto failing = go([tx = std::move(tx)] { tx.send(1); });
    select(on_receive(results, [](auto) {}), on_receive(rx, [](auto) {}));
    failing.cancel();
  };
}

TEST(explore, an_early_return_leaks_the_sender) {
  const auto r = found(verdict::leak, early_return(0));
  EXPECT_NE(r.trace.find("\"worker\": parked in channel send"), std::string::npos) << r.trace;
  correct(early_return(1));
}

// ---- select, choose, timers

TEST(explore, every_case_of_a_select_is_tried) {
  auto program = [](bool handles_both) {
    return [=] {
      channel<int> work(1), stop(1);
      work.send(1);
      stop.send(1);
      bool worked = false;
      select(on_receive(work, [&](auto) { worked = true; }), on_receive(stop, [](auto) {}));
      if (handles_both && !worked) worked = work.try_receive().value.has_value();
      require(worked, "the work is lost when stop is chosen");
    };
  };
  found(verdict::exception, program(false));
  correct(program(true));
}

TEST(explore, every_choice_is_tried) {
  found(verdict::exception, [] { require(testing::choose(50) != 17, "17"); });
}

TEST(explore, a_timer_may_fire_at_any_moment) {
  auto program = [](bool careful) {
    return [=] {
      timer t(1s);
      auto worker = go([] { yield(); });
      worker.get();
      if (t.stop()) return;
      require(careful, "stop() came too late, and nobody expected that");
    };
  };
  // A program that counts on being faster than the timer, and one whose stop() takes a tick with it.
  found(verdict::exception, [] {
    timer t(1s);
    auto worker = go([] { yield(); });
    worker.get();
    require(!t.try_receive().value, "the timer was first");
  });
  correct(program(true));
}

TEST(explore, a_time_out_races_with_the_answer) {
  auto program = [](std::size_t capacity) {
    return [=] {
      channel<int> answer(capacity);
      go_detached({.name = "late"}, [answer] { answer.send(1); });
      static_cast<void>(answer.receive_for(1s));
    };
  };
  found(verdict::leak, program(0));
  correct(program(1));
}

// ---- what else may go wrong

TEST(explore, no_end_is_a_livelock) {
  const explore_options small{.schedules = 3, .steps = 300};
  int looks = 0;
  found(verdict::livelock,
        [&] {
          atomic<bool> never_set(false);
          while (!never_set.load()) {
            ++looks;
            yield();
          }
        },
        small);
  EXPECT_LE(looks, 3 * 2 * 300) << "in the schedule that found it and two that repeat it";
  correct(
      [] {
        atomic<bool> set(false);
        auto t = go([&] { set.store(true); });
        while (!set.load()) yield();
        t.get();
      },
      {.schedules = 200, .steps = 300});
}

TEST(explore, who_does_not_end_when_it_is_canceled_is_left) {
  const explore_options small{.schedules = 3, .steps = 300};
  found(verdict::livelock,
        [] {
          go_detached([] {
            const cancel_shield for_ever;
            for (;;) yield();
          });
        },
        small);
  found(verdict::livelock,
        [] {
          go_detached([] {
            for (;;) try {
                sleep_for(1s);
              } catch (const canceled&) {
              }
          });
        },
        small);
}

TEST(explore, an_unfair_spin_is_no_livelock) {
  correct(
      [] {
        atomic<bool> set(false);
        auto t = go([&] { set.store(true); });
        while (!set.load()) {
        }
        t.get();
      },
      {.schedules = 50, .steps = 300});
}

TEST(explore, misuse_and_broken_invariants_are_verdicts) {
  found(verdict::misuse, [] { wait_group().add(-1); });
  const auto fatal = found(verdict::misuse, [] {
    mutex m;
    m.lock();
    m.unlock();
    m.unlock();
  });
  EXPECT_NE(fatal.trace.find("unlocked mutex"), std::string::npos) << fatal.trace;
  found(verdict::misuse, [] {
    std::optional<mutex> m(std::in_place);
    m->lock();
    go_detached([&] { m->lock(); });
    yield();
    m.reset();
  });
}

TEST(explore, exceptions_of_detached_and_dropped_fibers_are_verdicts) {
  found(verdict::exception, [] { go_detached([] { throw std::runtime_error("detached"); }); });
  found(verdict::exception, [] {
    const auto t = go([] { throw std::runtime_error("dropped"); });
    while (!t.done()) yield();
  });
  correct([] {
    auto t = go([] { throw std::runtime_error("taken"); });
    try {
      t.get();
    } catch (const std::runtime_error&) {
    }
  });
}

TEST(explore, what_the_body_throws_comes_out_of_replay) {
  struct mine {};
  auto body = [] { throw mine(); };
  const auto r = explore(body);
  EXPECT_EQ(r.verdict, verdict::exception);
  EXPECT_EQ(r.schedules, 1u);
  EXPECT_THROW(replay(r.token, body), mine);
}

// ---- replay

TEST(explore, another_program_diverges) {
  const auto r = found(verdict::exception, two_adders([](atomic<int>& n) { n.store(n.load() + 1); }));
  EXPECT_THROW(replay(r.token, two_adders([](atomic<int>& n) { n.fetch_add(1); })), replay_diverged);
  EXPECT_THROW(replay(r.token, [] {}), replay_diverged);
}

TEST(explore, what_is_no_token_is_refused) {
  for (const char* text : {"", "rn1", "rn2:w::1:10:0000", "rn1:w::1:10:", "rn1:w::1:10:00", "rn1:q::1:10:0000", "rn1:w::1:x:0000",
                           "rn1:p:1:1:10:0000", "rn1:w::1:10:zzzz"})
    EXPECT_THROW(replay(text, [] {}), std::invalid_argument) << text;
}

TEST(explore, a_body_that_does_not_repeat_itself_is_refused) {
  int calls = 0;
  EXPECT_THROW(explore([&] {
                 for (int i = 0; i < calls; ++i) yield();
                 ++calls;
               }),
               replay_diverged);
}

// ---- strategies, limits, places

TEST(explore, every_strategy_finds_the_lost_update) {
  for (const explore_strategy s : {explore_strategy::random_walk, explore_strategy::uniform_walk, explore_strategy::pct, explore_strategy::delay_bounding})
    for (std::uint64_t seed = 0; seed < 5; ++seed)
      found(verdict::exception, two_adders([](atomic<int>& n) { n.store(n.load() + 1); }), {.strategy = s, .seed = seed});
}

/// Of the first schedules, how each chooses: the letter in its token.
std::string ways_of(explore_strategy s) {
  std::string ways;
  for (int last = 1; last <= 6; ++last) {
    int runs_left = last == 1 ? 1 : last + 1;  // the first schedule is run twice
    const auto r = explore({.strategy = s}, [&] { require(--runs_left != 0, "the last one"); });
    EXPECT_EQ(r.schedules, static_cast<std::size_t>(last));
    ways += r.token.substr(r.token.find(':') + 1, 1);
  }
  return ways;
}

TEST(explore, every_strategy_goes_its_own_way) {
  EXPECT_EQ(ways_of(explore_strategy::random_walk), "wwwwww");
  EXPECT_EQ(ways_of(explore_strategy::uniform_walk), "duuuuu") << "the first counts what there is";
  EXPECT_EQ(ways_of(explore_strategy::pct), "pppppp");
  EXPECT_EQ(ways_of(explore_strategy::delay_bounding), "dddddd");
  EXPECT_EQ(ways_of(explore_strategy::portfolio), "dwpupd");
}

TEST(explore, the_same_seed_explores_the_same) {
  auto body = two_adders([](atomic<int>& n) { n.store(n.load() + 1); });
  const auto a = explore({.seed = 7}, body), b = explore({.seed = 7}, body);
  EXPECT_EQ(a.token, b.token);
  EXPECT_EQ(a.schedules, b.schedules);
  EXPECT_EQ(a.trace.substr(0, 40), b.trace.substr(0, 40));
  EXPECT_NE(explore({.seed = 8}, body).token, a.token);
}

TEST(explore, limits_hold) {
  EXPECT_EQ(explore({.schedules = 7}, [] {}).schedules, 7u);
  EXPECT_EQ(explore({.budget = 0s}, [] {}).schedules, 1u);
  EXPECT_THROW(explore({.schedules = 0}, [] {}), misuse);
  EXPECT_THROW(explore({.steps = 0}, [] {}), misuse);
}

/// The kernel's readiness comes when it comes: it must not hang, and may be refused as not repeatable.
TEST(explore, who_waits_for_the_outside_is_waited_for) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  try {
    const auto r = explore({.schedules = 1}, [&] {
      auto t = go([&] { wait_readable(ends[0]); });
      yield();
      require(write(ends[1], "x", 1) == 1, "write");
      t.get();
      char x;
      require(read(ends[0], &x, 1) == 1, "read");
    });
    EXPECT_FALSE(r.failed) << r.trace;
  } catch (const replay_diverged&) {
  }
  close(ends[0]);
  close(ends[1]);
}

TEST(explore, blocking_calls_run_on_the_spot) {
  correct([] {
    int n = 0;
    auto t = go([&] { return blocking([&] { return ++n; }); });
    require(t.get() == 1, "not called");
  }, {.schedules = 20});
}

}  // namespace
}  // namespace runnel::test
