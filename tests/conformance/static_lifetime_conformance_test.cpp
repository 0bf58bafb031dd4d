// Static objects that use the library before main and after exit. A program of its own: it starts the default runtime.
#include "support/fixture.hpp"

#include <unistd.h>

#include <atomic>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class static_lifetime_conformance_death_test : public ::testing::Test {
 protected:
  static_lifetime_conformance_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

/// Talks to a fiber of its own.
int talk() {
  const channel<int> there, back(1);
  auto fiber = go([&] { back.send(*there.receive() + 1); });
  there.send(41);
  fiber.get();
  return *back.receive();
}

struct talks_when_made {
  talks_when_made() : answer(talk()) {}
  int answer;
};

/// Fails the process when an operation that does not block does not work any more.
struct tries_when_destroyed {
  channel<int> c{1};
  ~tries_when_destroyed() {
    const bool works = c.try_send(1) == channel_status::ok && c.try_receive().value == 1 && c.close() &&
                       select(on_receive(channel<int>()), otherwise()) == 1 &&
                       c.try_send(1) == channel_status::closed;
    if (!works) _exit(21);
  }
};

/// Fails the process when a thread cannot wait any more, or when a fiber can be started.
struct blocks_when_destroyed {
  channel<int> c;
  ~blocks_when_destroyed() {
    if (c.receive_for(1ms).status != channel_status::timed_out) _exit(22);
    bool refused = false;
    try {
      auto t = go([] {});
    } catch (const misuse&) {
      refused = true;
    }
    if (!refused) _exit(23);
  }
};

// Made before everything else of the program and the library, and so destroyed after it.
[[gnu::init_priority(101)]] blocks_when_destroyed made_first_blocks;
[[gnu::init_priority(102)]] tries_when_destroyed made_first_tries;
[[gnu::init_priority(103)]] talks_when_made early;
[[gnu::init_priority(65535)]] talks_when_made late;
tries_when_destroyed made_last;

TEST_F(static_lifetime_conformance_death_test, lifetime_12_static_constructors_start_the_default_runtime) {
  EXPECT_EQ(early.answer, 42);
  EXPECT_EQ(late.answer, 42);
  EXPECT_GE(stats().workers, 1u);
  EXPECT_EQ(talk(), 42);
}

TEST_F(static_lifetime_conformance_death_test, lifetime_12_static_destructors_end_in_order) {
  EXPECT_EXIT(std::exit(early.answer), ::testing::ExitedWithCode(42), "^$");
}

TEST_F(static_lifetime_conformance_death_test, lifetime_12_neighbour_run_joins_the_default_runtime) {
  const hang_guard guard("lifetime_12_neighbour");
  const unsigned width = stats().workers;
  EXPECT_EQ(run([] { return talk(); }), 42);
  EXPECT_EQ(run({.workers = width}, [] { return talk(); }), 42);
  EXPECT_THROW(run({.workers = width + 1}, [] {}), misuse);
  EXPECT_EQ(stats().workers, width) << "it goes on after run()";
  EXPECT_EQ(talk(), 42);
}

TEST_F(static_lifetime_conformance_death_test, lifetime_12_neighbour_a_fiber_that_nobody_ends_does_not_hold_up_exit) {
  EXPECT_EXIT(
      {
        go_detached([] { channel<int>().receive(); });
        std::exit(5);
      },
      ::testing::ExitedWithCode(5), "");
}

}  // namespace
}  // namespace runnel::test
