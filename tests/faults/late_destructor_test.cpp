// Destructors of thread_local objects use the library: what need not wait works, what waits blocks the thread. Those of
// static objects: conformance/static_lifetime_conformance_test.cpp, and here what they can wait for.
#include "support/fixture.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

/// Calls f when its thread ends.
struct at_thread_end {
  std::function<void()> f;
  ~at_thread_end() {
    if (f) f();
  }
};
thread_local at_thread_end last;
thread_local at_thread_end first;  // destroyed first

class thread_end : public plain {
 protected:
  /// Runs f in the destructor of a thread_local of a thread that has used the library before.
  static void at_end_of_a_thread(const std::function<void()>& f, bool late = false) {
    std::thread([&] {
      const channel<int> used(1);
      used.send(1);
      used.receive();
      (late ? last : first).f = f;
    }).join();
  }
};

TEST_F(thread_end, what_need_not_wait_works) {
  in_runtime({.workers = 2}, [] {
    int done = 0;
    blocking([&] {
      for (const bool late : {false, true})
        at_end_of_a_thread(
            [&] {
              const channel<int> c(1);
              EXPECT_EQ(c.try_send(1), channel_status::ok);
              EXPECT_EQ(select(on_receive(c), otherwise()), 0u);
              const auto derived = derive_cancel(context::current());
              EXPECT_FALSE(derived.ctx.is_canceled());
              ++done;
            },
            late);
    });
    EXPECT_EQ(done, 2);
  });
}

TEST_F(thread_end, what_waits_blocks_the_thread) {
  in_runtime({.workers = 2}, [] {
    const channel<int> there, back;
    auto partner = go([&] {
      for (int i = 0; i < 2; ++i) back.send(*there.receive() + 1);
    });
    std::vector<int> answers;
    blocking([&] {
      for (const bool late : {false, true})
        at_end_of_a_thread(
            [&] {
              there.send(41);
              answers.push_back(*back.receive());
              EXPECT_THROW(with_timeout(100us, [&] { back.receive(); }), deadline_exceeded);
              sleep_for(10us);
              auto t = go([] { return 1; });
              EXPECT_EQ(t.get(), 1);
            },
            late);
    });
    partner.get();
    EXPECT_EQ(answers, (std::vector<int>{42, 42}));
  });
}

TEST_F(thread_end, before_and_after_any_runtime) {
  ASSERT_EQ(stats().workers, 0u);
  const channel<int> c;
  int got = 0;
  std::thread receiver([&] {
    at_end_of_a_thread([&] { got = *c.receive(); });
  });
  at_end_of_a_thread([&] { c.send(5); });
  receiver.join();
  EXPECT_EQ(got, 5) << "two threads without a runtime";
}

// ---- static objects ----------------------------------------------------------------------------------------------

/// Two threads that hand a value over in a destructor that runs after the default runtime has stopped.
struct talks_when_destroyed {
  bool wanted = false;
  ~talks_when_destroyed() {
    if (!wanted) return;
    const channel<int> c;
    std::thread other([&] { c.send(9); });
    const int got = *c.receive();
    other.join();
    _exit(got);
  }
};
[[gnu::init_priority(101)]] talks_when_destroyed made_first;

class static_end_death_test : public ::testing::Test {
 protected:
  static_end_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(static_end_death_test, threads_still_wait_for_each_other) {
  EXPECT_EXIT(
      {
        auto t = go([] {});  // the default runtime: it stops first
        t.get();
        made_first.wanted = true;
        std::exit(0);
      },
      ::testing::ExitedWithCode(9), "");
}

struct sees_the_runtime_when_destroyed {
  ~sees_the_runtime_when_destroyed() {
    auto t = go([] { return 1; });
    if (t.get() != 1) _exit(3);
  }
};

TEST_F(static_end_death_test, a_static_made_after_the_start_of_the_runtime_is_destroyed_before_its_stop) {
  EXPECT_EXIT(
      {
        auto t = go([] {});
        t.get();
        static const sees_the_runtime_when_destroyed object;
        std::exit(4);
      },
      ::testing::ExitedWithCode(4), "^$");
}

}  // namespace
}  // namespace runnel::test
