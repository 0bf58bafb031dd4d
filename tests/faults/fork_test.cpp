// A child that was forked while the runtime ran: what need not wait works, waiting and starting throw misuse, destructors
// do not join.
#include "conformance/captured_stderr.hpp"
#include "fiber/sanitizer.hpp"
#include "support/fixture.hpp"

#include <runnel/fd.hpp>
#include <runnel/sync/mutex.hpp>
#include <runnel/sync/wait_group.hpp>
#include <runnel/time.hpp>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

/// What f returned in a forked child: 0 when all is well, else the number of what is not.
template <class F>
int in_child(F f) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(120);  // a child that hangs must not outlive the test
    int result = 99;
    try {
      result = f();
    } catch (...) {
      result = 98;
    }
    _exit(result);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

template <class F>
bool refused(F f) {
  try {
    f();
  } catch (const misuse&) {
    return true;
  } catch (...) {
    return false;
  }
  return false;
}

class fork_laws : public behaviour {};
RUNNEL_EVERY_CALLER(fork_laws);

TEST_P(fork_laws, what_need_not_wait_works_in_the_child) {
  in_runtime([] {
    const channel<int> old(2);
    old.send(7);
    auto waiting = start([c = channel<int>(old)] {
      while (c.receive()) {
      }
    });
    auto parent = derive_cancel(context::current());
    mutex m;
    EXPECT_EQ(in_child([&] {
                const channel<int> c(1);
                if (c.try_send(1) != channel_status::ok || c.try_send(2) != channel_status::would_block) return 1;
                if (c.try_receive().value != 1 || select(on_receive(c), otherwise()) != 1) return 2;
                if (!c.close() || c.try_send(1) != channel_status::closed) return 3;
                const auto derived = derive_cancel(parent.ctx);
                parent.cancel();
                if (!parent.ctx.is_canceled() || !derived.ctx.is_canceled()) return 4;
                if (!m.try_lock()) return 5;
                m.unlock();
                m.lock();  // free: nothing to wait for
                m.unlock();
                wait_group w;
                w.add(1);
                w.done();
                for (int i = 0; i < 1000; ++i) {  // more than a turn of a fiber
                  const channel<int> many(1);
                  static_cast<void>(many.try_send(i));
                }
                return in_child([] { return 0; });  // may fork in turn
              }),
              0);
    EXPECT_FALSE(parent.ctx.is_canceled());
    old.close();
    waiting.join();
  });
}

TEST_P(fork_laws, waking_a_fiber_of_the_parent_leads_nowhere) {
  in_runtime([this] {
    const channel<int> c;
    int got = 0;
    auto receiver = start([&] { got = *c.receive(); });
    until_waiting(1);
    EXPECT_EQ(in_child([&] { return c.try_send(1) == channel_status::ok && got == 0 ? 0 : 1; }), 0);
    EXPECT_EQ(c.try_send(2), channel_status::ok) << "here it still waits";
    receiver.join();
    EXPECT_EQ(got, 2);
  });
}

TEST_P(fork_laws, waiting_and_starting_are_refused) {
  in_runtime([this] {
    const channel<int> c;
    mutex m;
    m.lock();
    wait_group w;
    w.add(1);
    task_group g;
    auto t = go([&] { c.receive(); });
    EXPECT_EQ(in_child([&] {
                bool destroyed = false;
                struct destroys {
                  explicit destroys(bool& f) : flag(&f) {}
                  destroys(destroys&& o) noexcept : flag(std::exchange(o.flag, nullptr)) {}
                  ~destroys() {
                    if (flag) *flag = true;
                  }
                  bool* flag;
                };
                if (!refused([&] { auto u = go([d = destroys(destroyed)] {}); }) || !destroyed) return 1;
                if (!refused([] { go_detached([] {}); })) return 2;
                if (!refused([&] { g.go([] {}); }) || !refused([&] { w.go([] {}); })) return 3;
                if (!refused([&] { c.receive(); }) || !refused([&] { c.send(1); })) return 4;
                if (!refused([&] { c.receive_for(1ms); })) return 5;
                if (!refused([&] { select(on_receive(c)); })) return 6;
                if (!refused([] { sleep_for(1ms); })) return 7;
                if (!refused([&] { m.lock(); }) || !refused([&] { static_cast<void>(m.try_lock_for(1ms)); })) return 8;
                if (!refused([&] { w.wait(); }) || !refused([&] { t.get(); })) return 9;
                if (!refused([] { blocking([] {}); })) return 10;
                if (!refused([] { wait_readable(0); })) return 11;
                if (!refused([] { run([] {}); })) return 12;
                if (!refused([] { with_timeout(1h, [] {}); }) || !refused([] { timer(1h).receive(); })) return 13;
                if (!refused([&] { after_func(context::current(), [] {}); })) return 14;
                if (!refused([] { yield(); })) return 15;
                return 0;
              }),
              0);
    w.done();
    m.unlock();
    until_waiting(1);
    t.cancel();
  });
}

TEST_P(fork_laws, destructors_do_not_join) {
  in_runtime([this] {
    const channel<int> gate;
    const auto wait = [&] {
      const cancel_shield shield;
      gate.receive();
    };
    auto t = std::make_unique<task<void>>(go(wait));
    auto g = std::make_unique<task_group>();
    g->go(wait);
    auto w = std::make_unique<wait_group>();
    w->go(wait);
    auto [ctx, cancel] = derive_cancel(context::current());
    auto h = std::make_unique<after_func_handle>(after_func(ctx, wait));
    auto m = std::make_unique<mutex>();
    m->lock();
    auto locker = go([&] {
      m->lock();
      m->unlock();
    });
    cancel();
    until_waiting(5);
    EXPECT_EQ(in_child([&] {
                t.reset();
                g.reset();
                w.reset();
                h.reset();
                m.reset();
                return 0;
              }),
              0);
    m->unlock();
    locker.get();
    gate.close();
    t->get();
    g->wait();
    w->wait();
  });
}

TEST_P(fork_laws, forks_while_everything_is_busy) {
  if (sanitized && !detail::sanitizer::fresh_stacks)
    GTEST_SKIP() << "AddressSanitizer's allocator does not hold its locks over a fork: the child may wait for one for ever";
  in_runtime([] {
    std::atomic<bool> over{false};
    std::vector<party> busy;
    for (int i = 0; i < 4; ++i)
      busy.push_back(start([&] {
        while (!over) {
          auto t = go([] { sleep_for(1us); });
          const timer pending(1h);
          with_timeout(1h, [&] { t.get(); });
        }
      }));
    for (std::size_t i = 0; i < scaled(50); ++i) {
      EXPECT_EQ(in_child([&] {
                  const auto derived = derive_cancel(context::background());
                  const channel<int> c(1);
                  if (c.try_send(1) != channel_status::ok) return 1;
                  return refused([] { auto t = go([] {}); }) && refused([] { sleep_for(1h); }) ? 0 : 2;
                }),
                0);
      yield();
    }
    over = true;
    for (auto& p : busy) p.join();
  });
}

TEST_P(fork_laws, a_caught_signal_does_in_the_child_what_it_did_before) {
  in_runtime({.signals = {SIGUSR2}}, [] {
    EXPECT_EQ(in_child([] {
                sigset_t one;
                sigemptyset(&one);
                sigaddset(&one, SIGUSR2);
                pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
                raise(SIGUSR2);
                return 1;
              }),
              1000 + SIGUSR2);
    yield();  // and here nothing is canceled
  });
}

class fork_alone : public plain {};

TEST_F(fork_alone, a_child_of_a_process_whose_runtime_does_not_run_has_its_own) {
  if (detail::sanitizer::fresh_stacks) GTEST_SKIP() << "TSan lets a forked child start no thread";
  ASSERT_EQ(stats().workers, 0u);
  EXPECT_EQ(in_child([] { return run({.workers = 2}, [] { return go([] { return 3; }).get(); }); }), 3);
  run({.workers = 2}, [] {});
  EXPECT_EQ(in_child([] { return run({.workers = 2}, [] { return go([] { return 4; }).get(); }); }), 4)
      << "after a stop too";
}

TEST_F(fork_alone, exit_in_the_child_of_a_fiber_and_of_a_thread) {
  in_runtime({.workers = 2}, [] {
    const auto exits = [] {
      const pid_t child = fork();
      if (child == 0) {
        alarm(120);
        std::quick_exit(6);
      }
      int status = 0;
      waitpid(child, &status, 0);
      return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    };
    EXPECT_EQ(exits(), 6);
    EXPECT_EQ(blocking(exits), 6);
  });
}

class fork_death_test : public ::testing::Test {
 protected:
  fork_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(fork_death_test, a_fiber_that_goes_on_in_the_child_ends_it_with_a_message) {
  EXPECT_EXIT(
      {
        run({.workers = 1}, [] {
          int status = 0;
          auto t = go([&] {
            const pid_t child = fork();
            if (child != 0) waitpid(child, &status, 0);
          });
          t.join();
          _exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? 5 : 6);
        });
      },
      ::testing::ExitedWithCode(5), "runnel: fatal: the function of a fiber has returned in a forked child");
}

TEST_F(fork_death_test, the_default_runtime_is_not_stopped_by_the_exit_of_a_child) {
  if (sanitized) GTEST_SKIP() << "LeakSanitizer looks for leaks at exit, with locks that threads of the parent held";
  EXPECT_EXIT(
      {
        auto t = go([] { return 1; });
        t.get();
        int status = 0;
        const pid_t child = fork();
        if (child == 0) std::exit(7);
        waitpid(child, &status, 0);
        auto still = go([] { return 2; });
        _exit(still.get() == 2 && WIFEXITED(status) ? WEXITSTATUS(status) : 1);
      },
      ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace runnel::test
