// Behaviours of leak detectors: what they wait for, what they name, and that given-up operations leave nothing behind.
#include "support/fixture.hpp"

#include <runnel/sync/mutex.hpp>
#include <runnel/sync/shared_mutex.hpp>
#include <runnel/sync/wait_group.hpp>
#include <runnel/testing/leak_check.hpp>
#include <runnel/time.hpp>

#include <atomic>
#include <mutex>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

std::string reported;
void keep_report(const std::string& text) { reported = text; }

class leak_conformance : public behaviour {
 protected:
  void SetUp() override {
    behaviour::SetUp();
    reported.clear();
    reported.reserve(1 << 16);
  }
};
RUNNEL_EVERY_CALLER(leak_conformance);

// ---- 02: what is about to end ------------------------------------------------------------------------------------

TEST_P(leak_conformance, leak_02_a_fiber_that_ends_while_the_check_waits_is_no_leak) {
  in_runtime([this] {
    until_waiting(0);
    const std::size_t without_us = stats().parked;
    std::atomic<bool> checking{false};
    {
      const leak_check nothing_left(&keep_report);
      go_detached([&] {
        while (stats().parked <= without_us) yield();  // until the check waits
        checking = true;
      });
      EXPECT_NE(nothing_left.left().find("1 fibers"), std::string::npos) << nothing_left.left();
    }
    EXPECT_TRUE(checking);
    EXPECT_EQ(reported, "");
  });
}

TEST_P(leak_conformance, leak_02_neighbour_a_fiber_that_stays_is_described) {
  in_runtime([] {
    const channel<int> gate, ended;
    {
      const leak_check nothing_left(&keep_report);
      go_detached({.name = "the one that stays"}, [=] {
        gate.receive();
        ended.send(1);
      });
    }
    EXPECT_NE(reported.find("the one that stays"), std::string::npos) << reported;
    EXPECT_NE(reported.find("channel receive"), std::string::npos) << reported;
    EXPECT_NE(reported.find("leak_conformance_test.cpp"), std::string::npos) << reported;
    gate.send(1);
    ended.receive();
  });
}

TEST_P(leak_conformance, leak_02_neighbour_what_was_there_before_the_check_is_not_its_concern) {
  in_runtime([this] {
    const channel<int> gate;
    auto earlier = start([=] { gate.receive(); });
    until_waiting(1);
    { const leak_check nothing_left(&keep_report); }
    EXPECT_EQ(reported, "");
    gate.send(1);
    earlier.join();
  });
}

// ---- 04: the verdict of a program --------------------------------------------------------------------------------

class leak_conformance_process : public ::testing::Test {
 protected:
  leak_conformance_process() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};
using leak_conformance_process_death_test = leak_conformance_process;

TEST_F(leak_conformance_process_death_test, leak_04_a_clean_program_with_a_leak_fails_and_says_why) {
  EXPECT_DEATH(run({.workers = 1},
                   [] {
                     const leak_check nothing_left;
                     go_detached({.name = "forgotten"}, [] { channel<int>().receive(); });
                   }),
               "leak: left behind: 1 fibers.*\"forgotten\": parked in channel receive");
}

TEST_F(leak_conformance_process_death_test, leak_04_neighbour_a_program_without_a_leak_keeps_its_code) {
  EXPECT_EXIT(_exit(run({.workers = 1},
                        [] {
                          const leak_check nothing_left;
                          go([] { yield(); }).get();
                          return 3;
                        })),
              ::testing::ExitedWithCode(3), "^$");
}

// ---- 06: operations that were given up ---------------------------------------------------------------------------

constexpr std::size_t given_up = 400'000;  // of the row's million, over all kinds and callers' parties

/// Each of four parties does the operation; afterwards nothing is registered anywhere.
template <class F>
void give_up_often(F operation, std::size_t times, party (*begin)(std::function<void()>)) {
  const std::int64_t waits = stats().registered_waits;
  const std::size_t timers = stats().armed_timers;
  std::vector<party> parties;
  for (int p = 0; p < 4; ++p)
    parties.push_back(begin([&operation, times] {
      for (std::size_t i = 0; i < scaled(times) / 4; ++i) operation(i);
    }));
  for (auto& p : parties) p.join();
  EXPECT_EQ(stats().registered_waits, waits);
  EXPECT_EQ(stats().armed_timers, timers);
}

TEST_P(leak_conformance, leak_06_timed_out_operations_leave_no_waiter) {
  in_runtime([this] {
    until_waiting(0);
    const channel<int> nobody_sends, nobody_receives;
    mutex held;
    held.lock();
    wait_group counting;
    counting.add();
    give_up_often(
        [&](std::size_t i) {
          const auto limit = std::chrono::nanoseconds(i % 3 * 500);
          switch (i % 5) {
            case 0: EXPECT_EQ(nobody_sends.receive_for(limit).status, channel_status::timed_out); break;
            case 1: EXPECT_EQ(nobody_receives.send_for(1, limit), channel_status::timed_out); break;
            case 2: EXPECT_FALSE(held.try_lock_for(limit)); break;
            case 3: EXPECT_FALSE(counting.wait_for(limit)); break;
            default:
              EXPECT_EQ(select(on_receive(nobody_sends), on_send(nobody_receives, 1), on_timeout(limit)), 2u);
          }
        },
        given_up / 8, &start);
    held.unlock();
    counting.done();
  });
}

TEST_P(leak_conformance, leak_06_canceled_operations_leave_no_waiter) {
  in_runtime([this] {
    until_waiting(0);
    const channel<int> nobody_sends, nobody_receives;
    mutex held;
    held.lock();
    wait_group counting;
    counting.add();
    give_up_often(
        [&](std::size_t i) {
          const auto limited = derive_timeout(context::current(), std::chrono::microseconds(1));
          const context& ctx = limited.ctx;
          switch (i % 4) {
            case 0: EXPECT_THROW(nobody_sends.receive(ctx), deadline_exceeded); break;
            case 1: EXPECT_THROW(nobody_receives.send(ctx, 1), deadline_exceeded); break;
            case 2: EXPECT_THROW(held.lock(ctx), deadline_exceeded); break;
            default: EXPECT_THROW(counting.wait(ctx), deadline_exceeded);
          }
        },
        given_up / 16, &start);
    held.unlock();
    counting.done();
  });
}

TEST_P(leak_conformance, leak_06_locks_that_are_given_up_leave_no_waiter) {
  in_runtime([this] {
    until_waiting(0);
    mutex m;
    condition_variable never_notified;
    semaphore none(0);
    shared_mutex held;
    held.lock();
    give_up_often(
        [&](std::size_t i) {
          const auto limit = std::chrono::nanoseconds(i % 3 * 500);
          const auto limited = derive_timeout(context::current(), limit);
          std::unique_lock lock(m, std::defer_lock);
          switch (i % 8) {
            case 0: EXPECT_FALSE(none.try_acquire_for(limit)); break;
            case 1: EXPECT_THROW(none.acquire(limited.ctx), deadline_exceeded); break;
            case 2: EXPECT_FALSE(held.try_lock_for(limit)); break;
            case 3: EXPECT_FALSE(held.try_lock_shared_for(limit)); break;
            case 4: EXPECT_THROW(held.lock(limited.ctx), deadline_exceeded); break;
            case 5: EXPECT_THROW(held.lock_shared(limited.ctx), deadline_exceeded); break;
            case 6:
              lock.lock();
              EXPECT_EQ(never_notified.wait_for(lock, limit), std::cv_status::timeout);
              break;
            default:
              lock.lock();
              EXPECT_THROW(never_notified.wait(limited.ctx, lock), deadline_exceeded);
          }
        },
        given_up / 16, &start);
    held.unlock();
  });
}

TEST_P(leak_conformance, leak_06_neighbour_losing_cases_of_a_select_leave_no_waiter) {
  in_runtime([this] {
    until_waiting(0);
    const std::int64_t waits = stats().registered_waits;
    const channel<int> won, lost, lost_too;
    auto sender = start([&] {
      for (std::size_t i = 0; i < scaled(20'000); ++i) won.send(1);
      won.close();
    });
    const auto [never, cancel] = derive_cancel(context::current());
    bool open = true;
    while (open)
      select(on_receive(won, [&](std::optional<int> v) { open = v.has_value(); }), on_receive(lost), on_send(lost_too, 1),
             on_done(never), on_timeout(1h));
    sender.join();
    EXPECT_EQ(stats().registered_waits, waits);
    EXPECT_EQ(stats().armed_timers, 0u);
  });
}

}  // namespace
}  // namespace runnel::test
