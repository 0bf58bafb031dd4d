// What is destroyed while somebody waits for it ends the process with a message that says who; those whom a stop of the
// runtime has left behind do not count, and nobody does at the end of the process.
#include "support/fixture.hpp"

#include <runnel/sync/barrier.hpp>
#include <runnel/sync/condition_variable.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/sync/latch.hpp>
#include <runnel/sync/lazy.hpp>
#include <runnel/sync/once.hpp>
#include <runnel/sync/semaphore.hpp>
#include <runnel/sync/shared_mutex.hpp>
#include <runnel/sync/wait_group.hpp>

#include <cstdlib>
#include <thread>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class destroyed_death_test : public ::testing::Test {
 protected:
  destroyed_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

/// Destroys an object that a fiber waits for.
template <class T, class Wait, class... A>
void destroy_under(Wait wait, A... a) {
  run([&] {
    auto object = std::make_unique<T>(a...);
    auto waiting = go({.name = "patient"}, [&o = *object, &wait] { wait(o); });
    while (stats().parked < 2) yield();  // the thread that called run() is one
    object.reset();
  });
}

TEST_F(destroyed_death_test, events_and_counters_name_who_waits) {
  const auto wait = [](auto& o) { o.wait(); };
  EXPECT_DEATH(destroy_under<event>(wait), "an event is destroyed while others wait for it .*\"patient\"");
  EXPECT_DEATH(destroy_under<auto_reset_event>(wait), "an auto_reset_event is destroyed .*\"patient\"");
  EXPECT_DEATH(destroy_under<latch>(wait, 1), "a latch is destroyed .*\"patient\"");
  EXPECT_DEATH(destroy_under<barrier<>>([](auto& b) { b.arrive_and_wait(); }, 2), "a barrier is destroyed .*\"patient\"");
  EXPECT_DEATH(destroy_under<wait_group>([](auto& w) {
                 w.add();
                 w.wait();
               }),
               "a wait_group is destroyed .*\"patient\"");
}

TEST_F(destroyed_death_test, a_function_that_still_runs_is_told_of) {
  const auto sleep = [] { sleep_for(1h); };
  EXPECT_DEATH(destroy_under<once>([&](once& o) { o.call(sleep); }), "a once or lazy is destroyed while its function runs");
  EXPECT_DEATH(destroy_under<lazy<int>>([](lazy<int>& l) { l.get(); },
                                        [&] {
                                          sleep();
                                          return 1;
                                        }),
               "a once or lazy is destroyed while its function runs");
}

/// Each kind of object, and a wait for each that no cancellation ends.
struct awaited {
  awaited() {
    held.lock();
    written.lock();
  }
  void start_waiting() {
    const auto wait = [](auto f) {
      go_detached([f] {
        const cancel_shield shield;
        f();
      });
    };
    wait([this] { held.lock(); });
    wait([this] { written.lock_shared(); });
    wait([this] {
      std::unique_lock lock(free);
      changed.wait(lock);
    });
    wait([this] { permits.acquire(); });
    wait([this] { happened.wait(); });
    wait([this] { first.call([] { event().wait(); }); });
    while (stats().parked < 6) yield();
  }
  mutex held, free;
  shared_mutex written;
  condition_variable changed;
  semaphore permits{0};
  event happened;
  once first;
};

TEST_F(destroyed_death_test, who_was_left_behind_is_no_reason) {
  EXPECT_EXIT(
      {
        {
          awaited all;
          run({.grace = 1ms}, [&] { all.start_waiting(); });
        }
        std::exit(3);
      },
      ::testing::ExitedWithCode(3), "leak: these fibers are still there");
}

awaited static_objects;

TEST_F(destroyed_death_test, nor_who_waits_at_the_end_of_the_process) {
  EXPECT_EXIT(
      {
        static_objects.start_waiting();
        std::exit(4);
      },
      ::testing::ExitedWithCode(4), "^$");
  EXPECT_EXIT(run([] {
                static_objects.start_waiting();
                std::exit(5);  // with the runtime at work
              }),
              ::testing::ExitedWithCode(5), "^$");
}

/// As if the process began here: a static object that is made after this is destroyed before the runtime hears of the end.
template <class T>
T& made_late() {
  static T object;
  return object;
}

TEST_F(destroyed_death_test, a_static_object_that_threads_wait_for_at_the_end_is_only_told_of) {
  EXPECT_EXIT(
      {
        auto& e = made_late<event>();
        std::thread([&e] { e.wait(); }).detach();
        while (stats().parked < 1) std::this_thread::yield();
        std::exit(6);
      },
      ::testing::ExitedWithCode(6), "^runnel: an event is destroyed while others wait for it .*: a thread outside the runtime\n$");
  EXPECT_EXIT(
      {
        auto& first = made_late<once>();
        std::thread([&] { first.call([] { event().wait(); }); }).detach();
        while (stats().parked < 1) std::this_thread::yield();
        std::exit(7);
      },
      ::testing::ExitedWithCode(7), "^runnel: a once or lazy is destroyed while its function runs");
}

TEST_F(destroyed_death_test, a_function_may_end_the_process) {
  const auto gives_up = []() -> int { std::exit(8); };
  EXPECT_EXIT(
      {
        static lazy<int> value(gives_up);
        value.get();
      },
      ::testing::ExitedWithCode(8), "^$");
  EXPECT_EXIT(run([&] {
                static lazy<int> value(gives_up);
                value.get();
              }),
              ::testing::ExitedWithCode(8), "^$");
}

TEST_F(destroyed_death_test, a_static_wait_groups_fibers_end_with_the_process) {
  static wait_group w;
  EXPECT_EXIT(
      {
        w.go([] { event().wait(); });
        while (stats().parked < 1) std::this_thread::yield();
        std::exit(9);
      },
      ::testing::ExitedWithCode(9), "^$");
}

}  // namespace
}  // namespace runnel::test
