// The runtime as a whole: how it starts, what it reports, what it costs while nothing happens.
#include "conformance/captured_stderr.hpp"
#include "sched/fiber_pool.hpp"
#include "support/fixture.hpp"

#include <runnel/fd.hpp>
#include <runnel/fiber_local.hpp>
#include <runnel/signal.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/time.hpp>

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class runtime_laws : public behaviour {};
RUNNEL_EVERY_WIDTH(runtime_laws);

class runtime_death_test : public ::testing::Test {
 protected:
  runtime_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// ---- stack overflow ----------------------------------------------------------------------------------------------

[[gnu::noinline]] int uses_stack(int depth) {
  volatile char frame[512];
  frame[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : uses_stack(depth + 1) + frame[0];
}

void overflow_here(stack_class c = stack_class::standard) {
  auto t = go({.name = "too deep", .stack = c}, [] { return uses_stack(0); });
  t.get();
}

void overflow(stack_class c) {
  run({.workers = 2}, [c] { overflow_here(c); });
}

void expect_overflow_report(stack_class c) {
  if (sanitized) GTEST_SKIP() << "sanitizers report it themselves";
  EXPECT_DEATH(overflow(c), "stack overflow in fiber [0-9]+ \"too deep\".*runtime_test.cpp:[0-9]+.* stack " +
                                std::to_string(stack_bytes(c)) + " bytes");
}

TEST_F(runtime_death_test, overflow_of_a_small_stack_is_reported) { expect_overflow_report(stack_class::small); }
TEST_F(runtime_death_test, overflow_of_a_standard_stack_is_reported) { expect_overflow_report(stack_class::standard); }
TEST_F(runtime_death_test, overflow_of_a_large_stack_is_reported) { expect_overflow_report(stack_class::large); }
TEST_F(runtime_death_test, overflow_of_a_huge_stack_is_reported) { expect_overflow_report(stack_class::huge); }

TEST_F(runtime_death_test, another_fault_is_not_taken_for_an_overflow) {
  if (sanitized) GTEST_SKIP() << "sanitizers report it themselves";
  EXPECT_EXIT(run({.workers = 1}, [] {
                const volatile std::uintptr_t nowhere = 64;
                *reinterpret_cast<volatile int*>(nowhere) = 1;
              }),
              ::testing::KilledBySignal(SIGSEGV), "^$");
}

TEST_F(runtime_death_test, a_fault_is_not_taken_for_a_signal_that_somebody_subscribed_to) {
  if (sanitized) GTEST_SKIP() << "sanitizers report it themselves";
  EXPECT_DEATH(run([] {
                 const signal_channel faults(SIGSEGV, SIGBUS);
                 overflow_here();
               }),
               "stack overflow in fiber [0-9]+ \"too deep\"");
  EXPECT_EXIT(run([] {
                const signal_channel faults(SIGSEGV);
                const volatile std::uintptr_t nowhere = 64;
                *reinterpret_cast<volatile int*>(nowhere) = 1;
              }),
              ::testing::KilledBySignal(SIGSEGV), "^$");
}

char* page = nullptr;
void repair(int, siginfo_t*, void*) { mprotect(page, 4096, PROT_READ | PROT_WRITE); }

TEST_F(runtime_death_test, a_fault_that_the_programs_handler_repairs_leaves_the_subscription) {
  if (sanitized) GTEST_SKIP() << "sanitizers report it themselves";
  EXPECT_EXIT(
      {
        page = static_cast<char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        struct sigaction a {};
        a.sa_sigaction = &repair;
        a.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &a, nullptr);
        const bool all_came = run([] {
          const signal_channel sent(SIGSEGV);
          *const_cast<volatile char*>(page) = 1;
          kill(getpid(), SIGSEGV);
          return sent.receive() == SIGSEGV;
        });
        std::_Exit(all_came ? 3 : 4);
      },
      ::testing::ExitedWithCode(3), "^$");
}

// ---- what follows a fiber ----------------------------------------------------------------------------------------

// The compiler may keep errno's address over a wait; these look it up each time.
[[gnu::noinline]] void set_errno(int e) {
  asm volatile("" ::: "memory");
  errno = e;
}
[[gnu::noinline]] int get_errno() {
  asm volatile("" ::: "memory");
  return errno;
}

fiber_local<std::uint64_t> local;

/// What must be the same after a wait as before it.
class my_state {
 public:
  explicit my_state(int number) : number_(number), id_(this_fiber::get_id()) {
    *local = id_;
    set_errno(number);
  }
  bool kept(int uncaught, bool in_handler) const {
    return get_errno() == number_ && this_fiber::get_id() == id_ && *local == id_ &&
           std::uncaught_exceptions() == uncaught && (std::current_exception() != nullptr) == in_handler;
  }
  void refresh() const { set_errno(number_); }

 private:
  int number_;
  this_fiber::id id_;
};

TEST_P(runtime_laws, a_storm_of_migrations_loses_nothing_that_belongs_to_the_fiber) {
  in_runtime([] {
    std::atomic<long> wrong{0};
    const channel<int> shared(2);
    with_task_group([&](task_group& g) {
      for (int number = 1; number <= 16; ++number)
        g.go([&, number] {
          const my_state state(number);
          std::size_t waits = 0;
          auto wait = [&](int uncaught, bool in_handler) {
            state.refresh();
            switch (++waits % 4) {
              case 0: shared.send(1); break;
              case 1: shared.receive(); break;
              case 2: yield(); break;
              default:
                if (waits % 32 == 3) {
                  sleep_for(1us);
                } else if (waits % 32 == 11) {
                  blocking([] { set_errno(-1); });
                } else {
                  yield();
                }
            }
            wrong += !state.kept(uncaught, in_handler);
          };
          if (number % 2) waits += 2;  // half of them receive first
          struct waits_when_destroyed {
            decltype(wait)& w;
            ~waits_when_destroyed() { w(1, false); }
          };
          for (std::size_t i = 0; i < scaled(1000); ++i) {
            wait(0, false);
            try {
              const waits_when_destroyed w{wait};
              throw number;
            } catch (int caught) {
              wait(0, true);
              wait(0, true);
              wrong += caught != number;
            }
          }
        });
      // Senders and receivers need not be as many: this one makes up for the difference.
      g.go([&] {
        while (stats().live_fibers > 2) {
          if (shared.size() == 0) static_cast<void>(shared.try_send(1));
          if (shared.size() == 2) static_cast<void>(shared.try_receive());
          yield();
        }
      });
    });
    EXPECT_EQ(wrong, 0);
  });
}

// ---- starting ----------------------------------------------------------------------------------------------------

TEST_P(runtime_laws, a_detached_fiber_has_the_stack_that_was_asked_for) {
  event done;
  in_runtime([&] {
    go_detached({.stack = stack_class::huge}, [&] {
      volatile char deep[2 * 1024 * 1024];  // more than any other class has
      for (std::size_t i = 0; i < sizeof deep; i += 4096) deep[i] = 1;
      done.set();
    });
    done.wait();
  });
}

TEST(runtime_start, the_environment_sets_the_width) {
  const hang_guard guard("RUNNEL_WORKERS");
  setenv("RUNNEL_WORKERS", "3", 1);
  EXPECT_EQ(run([] { return static_cast<int>(stats().workers); }), 3);
  EXPECT_EQ(run({.workers = 2}, [] { return static_cast<int>(stats().workers); }), 2) << "options come first";
  for (const char* wrong : {"", "0", "-1", "257", "2x", " 2", "many", "99999999999999999999"}) {
    setenv("RUNNEL_WORKERS", wrong, 1);
    bool started = false;
    try {
      run([&] { started = true; });
      ADD_FAILURE() << "'" << wrong << "' was accepted";
    } catch (const misuse& e) {
      EXPECT_NE(std::string(e.what()).find("RUNNEL_WORKERS"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find("1 to 256"), std::string::npos) << e.what();
    }
    EXPECT_FALSE(started);
    EXPECT_EQ(stats().workers, 0u);
  }
  unsetenv("RUNNEL_WORKERS");
  EXPECT_GE(run([] { return static_cast<int>(stats().workers); }), 1);
}

TEST(runtime_start, differing_widths_at_the_same_time_are_misuse) {
  const hang_guard guard("differing widths");
  const channel<int> started, over;
  std::thread other([&] {
    run({.workers = 2}, [&] {
      started.send(1);
      over.receive();
    });
  });
  started.receive();
  EXPECT_THROW(run({.workers = 3}, [] { ADD_FAILURE() << "must not start"; }), misuse);
  EXPECT_EQ(run([] { return 4; }), 4) << "automatic takes what there is";
  EXPECT_EQ(run({.workers = 2}, [] { return 5; }), 5);
  over.send(1);
  other.join();
  EXPECT_THROW(run({.workers = 257}, [] {}), misuse);
}

TEST(runtime_start, it_starts_again_and_returns_what_main_returns) {
  const hang_guard guard("restart");
  for (unsigned width = 1; width <= 4; ++width) {
    EXPECT_EQ(run({.workers = width}, [&] {
      EXPECT_EQ(stats().workers, width);
      return go([] { return 7; }).get();
    }), 7);
    EXPECT_EQ(run({.workers = width}, [] { yield(); }), 0);
    EXPECT_THROW(run({.workers = width}, [] { throw std::range_error("root"); }), std::range_error);
    EXPECT_EQ(stats().workers, 0u);
  }
}

// ---- costs -------------------------------------------------------------------------------------------------------

/// Context switches of the process's threads so far, without the calling one's.
long context_switches() {
  const std::string self = std::to_string(syscall(SYS_gettid));
  long sum = 0;
  DIR* d = opendir("/proc/self/task");
  while (const dirent* e = readdir(d)) {
    if (e->d_name[0] == '.' || self == e->d_name) continue;
    std::ifstream status(std::string("/proc/self/task/") + e->d_name + "/status");
    for (std::string word; status >> word;) {
      if (word.find("voluntary_ctxt_switches:") == std::string::npos) continue;  // and nonvoluntary_
      long n = 0;
      status >> n;
      sum += n;
    }
  }
  closedir(d);
  return sum;
}

TEST_P(runtime_laws, an_idle_program_is_not_woken) {
  if (sanitized) GTEST_SKIP() << "a sanitizer has threads of its own";
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const hang_guard guard("a quiet while");
  std::thread observer([&] {
    while (stats().parked < 2) std::this_thread::sleep_for(1ms);
    // Let the monitor come to rest: it gives memory of stacks back that earlier tests have used.
    for (long before = -1, now = context_switches(); now != before || sched::any_idle_stacks(); now = context_switches()) {
      before = now;
      std::this_thread::sleep_for(300ms);
    }
    // On a busy machine the monitor may come to rest later still, and this thread lose its processor while it counts. In a program
    // that is woken no while is quiet.
    for (long switches = -1, most = GetParam().workers == 4 ? 5 : 1; switches < 0 || switches > most;) {
      const long before = context_switches();
      std::this_thread::sleep_for(GetParam().workers == 4 ? 5s : 1s);
      switches = context_switches() - before;
    }
    [[maybe_unused]] const auto n = write(ends[1], "x", 1);
  });
  run({.workers = GetParam().workers}, [&] {
    auto parked = go([] { channel<int>().receive(); });
    wait_readable(ends[0]);
  });
  observer.join();
  close(ends[0]);
  close(ends[1]);
}

TEST(runtime_costs, a_ping_pong_wakes_no_thread) {
  const hang_guard guard("ping pong");
  // A worker that the kernel takes off its processor looks like one that keeps its fiber: on a busy machine the best of
  // several rounds counts.
  std::uint64_t fewest = ~std::uint64_t{0};
  for (int round = 0; round < 10 && fewest > 100; ++round)
    run({.workers = 2}, [&] {
      const channel<int> ping, pong;
      auto partner = go([&] {
        for (int v : ping) pong.send(v);
      });
      ping.send(0);
      pong.receive();
      const std::uint64_t before = stats().kernel_wakes;
      for (std::size_t i = 0; i < scaled(100'000); ++i) {
        ping.send(1);
        pong.receive();
      }
      fewest = std::min(fewest, stats().kernel_wakes - before);
      ping.close();
      partner.get();
    });
  EXPECT_LE(fewest, 100u);
}

}  // namespace
}  // namespace runnel::test
