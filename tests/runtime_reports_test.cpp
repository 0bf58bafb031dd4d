// What the runtime says when something is wrong, and signals.
#include "conformance/captured_stderr.hpp"
#include "support/fixture.hpp"

#include <runnel/debug/dump_fibers.hpp>
#include <runnel/signal.hpp>
#include <runnel/sync/mutex.hpp>
#include <runnel/time.hpp>

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class runtime_reports : public behaviour {};
RUNNEL_EVERY_WIDTH(runtime_reports);

class runtime_reports_death_test : public ::testing::Test {
 protected:
  runtime_reports_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

struct deadlock_found : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Two fibers that wait for each other's channel, and the root that waits for them.
void deadlock() {
  const channel<int> one, two;
  auto first = go({.name = "waits for one"}, [&] {
    one.receive();
    two.send(1);
  });
  auto second = go({.name = "waits for two"}, [&] {
    select(on_receive(two), on_done(derive_cancel(context::current()).ctx));
    two.receive();
    one.send(1);
  });
  second.join();
}

// ---- deadlock ----------------------------------------------------------------------------------------------------

TEST_P(runtime_reports, a_deadlock_handler_gets_every_fiber_and_may_throw_from_run) {
  const hang_guard guard("deadlock");
  for (int round = 0; round < 3; ++round) {
    std::string report;
    EXPECT_THROW(run({.workers = GetParam().workers,
                      .on_deadlock =
                          [&](std::string_view text) {
                            report = text;
                            throw deadlock_found("found");
                          }},
                     [] {
                       const channel<int> never;
                       auto named = go({.name = "stuck"}, [&] { never.receive(); });
                       auto locked = go({.name = "stuck sender"}, [&] { channel<int>().send(1); });
                       named.join();
                     }),
                 deadlock_found);
    for (const char* part : {"\"main\": parked in join of a task", "\"stuck\": parked in channel receive",
                             "\"stuck sender\": parked in channel send", "runtime_reports_test.cpp:"})
      EXPECT_NE(report.find(part), std::string::npos) << part << " is not in\n" << report;
    EXPECT_EQ(stats().live_fibers, 0u) << fiber_report();
  }
}

TEST_F(runtime_reports_death_test, a_deadlock_ends_the_process_with_the_report) {
  EXPECT_DEATH(run({.workers = 2}, deadlock),
               "deadlock.*\"main\": parked in join of a task.*\"waits for one\": parked in channel receive.*"
               "\"waits for two\": parked in (select|channel receive).*runtime_reports_test.cpp");
}

TEST_F(runtime_reports_death_test, a_deadlock_handler_that_returns_leaves_the_default) {
  EXPECT_DEATH(run({.workers = 1, .on_deadlock = [](std::string_view) { dprintf(2, "asked first\n"); }}, deadlock),
               "asked first.*deadlock.*waits for one");
}

TEST_P(runtime_reports, a_deadlock_handler_may_wait_itself_and_is_asked_once) {
  const hang_guard guard("deadlock handler");
  captured_stderr printed;
  int calls = 0;
  EXPECT_THROW(run({.workers = GetParam().workers,
                    .on_deadlock =
                        [&](std::string_view text) {
                          ++calls;
                          const std::string before(text);
                          const channel<int> answers;
                          // Longer than until the monitor looks again, or nothing is shown.
                          const std::jthread other([&] {
                            std::this_thread::sleep_for(2s);
                            answers.send(42);
                          });
                          EXPECT_EQ(answers.receive(), 42);
                          EXPECT_EQ(text, before);
                          throw deadlock_found("found");
                        }},
                   [] { channel<int>().receive(); }),
               deadlock_found);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(printed.text(), "");
}

TEST_P(runtime_reports, what_can_still_come_is_no_deadlock) {
  in_runtime(run_options{.on_deadlock = [](std::string_view r) { ADD_FAILURE() << r; }}, [] {
    // All three have to last longer than the monitor takes to make up its mind, or nothing is shown; a slow machine only
    // shows it less well, and fails nothing.
    sleep_for(60ms);  // a timer
    blocking([] { std::this_thread::sleep_for(60ms); });  // a call that the runtime cannot see into
    const signal_channel signals(SIGUSR1);
    std::thread other([] {
      std::this_thread::sleep_for(60ms);  // until then only a signal can come
      kill(getpid(), SIGUSR1);
    });
    EXPECT_EQ(signals.receive(), SIGUSR1);
    other.join();
  });
}

TEST_F(runtime_reports_death_test, with_a_foreign_thread_a_deadlock_is_reported_once_and_survived) {
  EXPECT_EXIT(
      {
        captured_stderr err;
        const channel<int> gate;
        std::thread foreign([&] {
          err.wait_for("\"held up\"");
          std::this_thread::sleep_for(100ms);  // for a second report, which must not come
          gate.send(1);
        });
        const int code = run({.workers = 2}, [&] {
          return go({.name = "held up"}, [&] { return *gate.receive(); }).get();
        });
        foreign.join();
        _exit(code == 1 && err.count("nothing can ever run again") == 1 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "^$");
}

TEST_F(runtime_reports_death_test, a_thread_that_waits_with_a_time_limit_is_no_deadlock) {
  EXPECT_EXIT(
      {
        captured_stderr err;
        const channel<int> gate;
        const channel<int> nobody_sends;
        auto blocked = go({.name = "held up"}, [&] { return *gate.receive(); });
        sleep_for(300ms);  // longer than the monitor takes to make up its mind, as above
        const bool timed_out = nobody_sends.receive_for(300ms).status == channel_status::timed_out;
        gate.send(1);
        _exit(timed_out && blocked.get() == 1 && err.text().empty() ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "^$");
}

TEST_F(runtime_reports_death_test, a_thread_that_blocks_for_good_after_a_time_limit_is_one) {
  EXPECT_DEATH(
      {
        const channel<int> gate;
        auto blocked = go({.name = "held up"}, [&] { gate.receive(); });
        sleep_for(300ms);  // the monitor sleeps by then, and nobody wakes it
        blocked.join();
      },
      "deadlock.*\"held up\": parked in channel receive");
}

// ---- leaks at the end of run -------------------------------------------------------------------------------------

TEST_F(runtime_reports_death_test, tasks_09_run_reports_the_one_detached_fiber_that_is_blocked_for_ever) {
  EXPECT_EXIT(
      {
        captured_stderr err;
        run({.workers = 2, .grace = 1h}, [] {  // which is not waited for, once nothing can change
          go_detached({.name = "ends by its cancellation"}, [] { channel<int>().receive(); });
          go_detached({.name = "blocked for ever"}, [] {
            const cancel_shield shield;
            channel<int>().receive();
          });
        });
        const bool right = err.count("\"blocked for ever\": parked in channel receive") == 1 && err.count("  fiber ") == 1 &&
                           err.count("leak") == 1;
        if (!right) dprintf(STDOUT_FILENO, "%s", err.text().c_str());
        _exit(right ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "^$");
}

TEST_P(runtime_reports, tasks_09_neighbour_a_detached_fiber_that_can_be_canceled_is_no_leak) {
  captured_stderr err;
  std::atomic<int> unwound{0};
  in_runtime(run_options{.grace = 1h, .hog_limit = 1h}, [&] {
    for (int i = 0; i < 3; ++i)
      go_detached([&] {
        struct at_end {
          std::atomic<int>& n;
          ~at_end() { ++n; }
        } counted{unwound};
        channel<int>().receive();
      });
  });
  EXPECT_EQ(unwound, 3);
  EXPECT_EQ(err.text(), "");
}

TEST_P(runtime_reports, what_belongs_to_nobody_has_the_grace_to_end) {
  captured_stderr err;
  std::atomic<bool> ended{false};
  in_runtime(run_options{.grace = 1h, .hog_limit = 1h}, [&] {
    go_detached([&] {
      try {
        channel<int>().receive();
      } catch (const canceled&) {
        const cancel_shield shield;
        for (std::size_t i = scaled(100'000); i-- > 0;) yield();  // the more, the surer is a report that does not wait for it
        ended = true;
        throw;
      }
    });
  });
  EXPECT_TRUE(ended);
  EXPECT_EQ(err.text(), "");
}

// ---- hogs --------------------------------------------------------------------------------------------------------

TEST_P(runtime_reports, a_hog_is_reported_once_and_again_after_it_has_yielded) {
  captured_stderr err;
  const char* const of_the_hog = "\"hog\", started at";  // a fiber whose thread has to wait for a processor may look like one
  in_runtime(run_options{.hog_limit = 100ms}, [&] {
    auto hog = go({.name = "hog"}, [&] {
      err.wait_for(of_the_hog);
      std::this_thread::sleep_for(50ms);  // no second report of the same turn
      EXPECT_EQ(err.count(of_the_hog), 1u) << err.text();
      yield();
      while (err.count(of_the_hog) < 2) {
      }
    });
    hog.get();
  });
  EXPECT_EQ(err.count(of_the_hog), 2u) << err.text();
  const std::string &text = err.text(), before = "has kept worker ";
  for (std::size_t at = 0; (at = text.find(before, at)) != std::string::npos; at += before.size())
    EXPECT_GE(std::stoi(text.substr(text.find(" for ", at) + 5)), 100) << text;
}

// ---- signals -----------------------------------------------------------------------------------------------------

TEST_P(runtime_reports, a_signal_cancels_the_root_and_names_itself_in_the_result) {
  const hang_guard guard("signals");
  for (const int signo : {SIGTERM, SIGINT, SIGUSR1}) {
    bool unwound = false;
    EXPECT_EQ(run({.workers = GetParam().workers, .signals = {SIGTERM, SIGINT, SIGUSR1}},
                  [&] {
                    kill(getpid(), signo);
                    try {
                      sleep_for(1h);
                    } catch (const canceled&) {
                      unwound = true;
                      throw;
                    }
                    return 1;
                  }),
              128 + signo);
    EXPECT_TRUE(unwound);
  }
}

TEST_P(runtime_reports, a_root_that_survives_a_signal_returns_its_own_result) {
  const hang_guard guard("signals");
  EXPECT_EQ(run({.workers = GetParam().workers, .signals = {SIGTERM}},
                [] {
                  kill(getpid(), SIGTERM);
                  EXPECT_THROW(sleep_for(1h), canceled);
                  return 6;
                }),
            6);
  struct sigaction now {};
  sigaction(SIGTERM, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_DFL) << "the disposition is restored";
}

TEST_F(runtime_reports_death_test, the_second_signal_takes_its_default_action) {
  EXPECT_EXIT(run({.workers = 2, .signals = {SIGTERM}},
                  [] {
                    kill(getpid(), SIGTERM);
                    EXPECT_THROW(sleep_for(1h), canceled);
                    kill(getpid(), SIGTERM);
                    blocking([] { pause(); });  // shut to cancellation, and to everything but the signal
                    const cancel_shield shield;
                    sleep_for(1h);
                  }),
              ::testing::KilledBySignal(SIGTERM), "");
}

TEST_P(runtime_reports, a_signal_channel_receives_what_it_subscribed_to) {
  in_runtime([] {
    {
      const signal_channel users(SIGUSR1, SIGUSR2);
      const signal_channel also(SIGUSR1);
      kill(getpid(), SIGUSR1);
      EXPECT_EQ(users.receive(), SIGUSR1);
      EXPECT_EQ(also.receive(), SIGUSR1);
      kill(getpid(), SIGUSR2);
      std::optional<int> got;
      EXPECT_EQ(select(on_receive(also), on_receive(users, got)), 1u);
      EXPECT_EQ(got, SIGUSR2);
      EXPECT_FALSE(also.try_receive());
    }
    struct sigaction now {};
    sigaction(SIGUSR1, nullptr, &now);
    EXPECT_EQ(now.sa_handler, SIG_DFL);
    EXPECT_THROW(signal_channel{SIGKILL}, misuse);
    EXPECT_THROW(signal_channel{0}, misuse);
    EXPECT_THROW(signal_channel{65}, misuse);
    const signal_channel last(SIGRTMAX);
    if (kill(getpid(), SIGRTMAX) == 0) {  // an emulator has fewer, and refuses
      EXPECT_EQ(last.receive(), SIGRTMAX);
    }
    const signal_channel segments(SIGSEGV);
    kill(getpid(), SIGSEGV);
    EXPECT_EQ(segments.receive(), SIGSEGV) << "sent, and no fault";
  });
}

}  // namespace
}  // namespace runnel::test
