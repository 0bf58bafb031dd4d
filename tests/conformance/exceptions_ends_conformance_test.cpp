// Exceptions that end something: swallowed cancellations, fibers that nobody joins, elements that throw, no memory.
#include "conformance/captured_stderr.hpp"
#include "support/fixture.hpp"

#include <runnel/sync/wait_group.hpp>
#include <runnel/time.hpp>

#include <sys/resource.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class exceptions_ends_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(exceptions_ends_conformance);

class exceptions_conformance_death_test : public ::testing::Test {
 protected:
  exceptions_conformance_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// ---- 07: swallowed cancellations ---------------------------------------------------------------------------------

static_assert(std::is_base_of_v<std::exception, canceled> && std::is_base_of_v<canceled, deadline_exceeded>);
static_assert(!std::is_base_of_v<canceled, task_canceled>);

TEST_P(exceptions_ends_conformance, exceptions_07_cancellation_is_sticky_and_swallowing_it_is_reported) {
  captured_stderr err;
  in_runtime(run_options{.hog_limit = 1h}, [&] {
    const channel<int> c(1);
    c.send(1);
    {
      auto [ctx, cancel] = derive_cancel(context::current());
      cancel();
      const context_scope ambient(ctx);
      auto t = go({.name = "stubborn"}, [&] {
        for (int i = 0; i < 3000; ++i) {
          try {
            c.receive();
            ADD_FAILURE() << "a value was received in a canceled context";
          } catch (...) {
          }
        }
      });
    }
    EXPECT_EQ(c.size(), 1u);
  });
  EXPECT_EQ(err.count("\"stubborn\""), 1u) << err.text();
  EXPECT_EQ(err.count("swallowed"), 1u) << err.text();
}

TEST_P(exceptions_ends_conformance, exceptions_07_neighbour_a_shield_lets_operations_through_and_ends_nothing) {
  in_runtime([] {
    const channel<int> c(8);
    auto t = go([&] {
      EXPECT_THROW(for (;;) yield(), canceled);
      for (int i = 0; i < 3; ++i) {
        EXPECT_THROW(c.send(0), canceled);
        EXPECT_THROW(this_fiber::checkpoint(), canceled);
        EXPECT_EQ(c.try_send(i), channel_status::ok) << "try_ forms do not observe it";
        const cancel_shield shield;
        c.send(10 + i);
        yield();
      }
      c.receive();
    });
    t.cancel();
    EXPECT_THROW(t.get(), task_canceled);
    EXPECT_EQ(c.size(), 6u);
  });
}

TEST_P(exceptions_ends_conformance, exceptions_07_neighbour_time_outs_in_a_row_are_not_swallowed_cancellations) {
  captured_stderr err;
  in_runtime(run_options{.hog_limit = 1h}, [] {
    const channel<int> c;
    for (int i = 0; i < 2000; ++i) EXPECT_THROW(with_timeout(1us, [&] { c.receive(); }), deadline_exceeded);
  });
  EXPECT_EQ(err.text(), "");
}

// ---- 09: exceptions that nobody takes ----------------------------------------------------------------------------

struct unhandled_record {
  std::string what, name;
  int calls = 0;
};
unhandled_record unhandled;
const channel<int>* told = nullptr;

/// The hook, installed while in scope.
class recording_hook {
 public:
  explicit recording_hook(const channel<int>& tell) {
    unhandled = {};
    told = &tell;
    before_ = set_unhandled_hook([](std::exception_ptr e, fiber_info who) noexcept {
      try {
        std::rethrow_exception(e);
      } catch (const std::exception& x) {
        unhandled.what = x.what();
      } catch (...) {
        unhandled.what = "something else";
      }
      unhandled.name = who.name;
      ++unhandled.calls;
      static_cast<void>(told->try_send(1));
    });
  }
  ~recording_hook() { set_unhandled_hook(before_); }
  recording_hook(const recording_hook&) = delete;
  recording_hook& operator=(const recording_hook&) = delete;

 private:
  unhandled_hook before_;
};

TEST_P(exceptions_ends_conformance, exceptions_09_the_hook_gets_a_detached_fibers_exception_and_its_name) {
  in_runtime([] {
    const channel<int> called(1);
    const recording_hook hook(called);
    go_detached({.name = "nobody's"}, [] { throw std::runtime_error("lost"); });
    called.receive();
    EXPECT_EQ(unhandled.what, "lost");
    EXPECT_EQ(unhandled.name, "nobody's");
    EXPECT_EQ(unhandled.calls, 1);
  });
}

TEST_F(exceptions_conformance_death_test, exceptions_09_without_a_hook_the_process_terminates_with_the_original_exception) {
  EXPECT_EXIT(
      {
        std::set_terminate([] {
          try {
            throw;
          } catch (const std::runtime_error& e) {
            dprintf(STDERR_FILENO, "terminate saw %s\n", e.what());
          }
          _exit(9);
        });
        run({.workers = 2}, [] {
          go_detached([] { throw std::runtime_error("the original"); });
          sleep_for(1h);
        });
      },
      ::testing::ExitedWithCode(9), "terminate saw the original");
}

TEST_P(exceptions_ends_conformance, exceptions_09_neighbour_a_dropped_tasks_exception_goes_to_the_hook) {
  in_runtime([] {
    const channel<int> called(1);
    const recording_hook hook(called);
    {
      auto dropped = go([] { throw std::runtime_error("dropped"); });
      dropped.join();
    }
    EXPECT_EQ(unhandled.what, "dropped");
    EXPECT_EQ(unhandled.calls, 1);
    {
      auto taken = go([] { throw std::runtime_error("taken"); });
      EXPECT_THROW(taken.get(), std::runtime_error);
    }
    { auto was_canceled = go([] { sleep_for(1h); }); }
    EXPECT_EQ(unhandled.calls, 1);
    try {
      auto during_unwinding = go([] { throw std::runtime_error("second"); });
      during_unwinding.join();
      throw 1;
    } catch (int) {
    }
    EXPECT_EQ(unhandled.calls, 1);
  });
}

TEST_P(exceptions_ends_conformance, exceptions_09_neighbour_a_wait_groups_and_an_after_funcs_exceptions_go_to_the_hook) {
  in_runtime([] {
    const channel<int> called(1);
    const recording_hook hook(called);
    wait_group w;
    w.go([] { throw std::runtime_error("in a wait group"); });
    w.wait();
    called.receive();
    EXPECT_EQ(unhandled.what, "in a wait group");
    auto [ctx, cancel] = derive_cancel(context::current());
    const auto registered = after_func(ctx, [] { throw std::runtime_error("in after_func"); });
    cancel();
    called.receive();
    EXPECT_EQ(unhandled.what, "in after_func");
    EXPECT_EQ(unhandled.calls, 2);
  });
}

TEST_P(exceptions_ends_conformance, exceptions_09_neighbour_without_a_hook_a_dropped_task_is_reported_once) {
  captured_stderr err;
  in_runtime([] {
    auto dropped = go([] { throw std::runtime_error("dropped and reported"); });
    dropped.join();
  });
  EXPECT_EQ(err.count("dropped and reported"), 1u) << err.text();
}

// ---- 11: elements whose copy throws ------------------------------------------------------------------------------

struct fragile {
  explicit fragile(int n) : number(n) {}
  fragile(const fragile& o) : number(o.number) {
    if (armed_copy) throw std::runtime_error("copy");
  }
  fragile(fragile&& o) : number(std::exchange(o.number, -1)) {
    if (armed_move) {
      o.number = number;
      throw std::runtime_error("move");
    }
  }
  fragile& operator=(fragile&&) = delete;
  int number;
  static inline std::atomic<bool> armed_copy{false}, armed_move{false};
};

TEST_P(exceptions_ends_conformance, exceptions_11_a_copy_that_throws_leaves_receiver_and_buffer_alone) {
  in_runtime([this] {
    for (std::size_t capacity : {0u, 2u}) {
      const channel<fragile> c(capacity);
      auto receiver = start([&] {
        for (int i = 0; i < 2; ++i) {
          const auto v = c.receive();
          EXPECT_TRUE(v && v->number == i);
        }
      });
      until_waiting(1);
      const fragile zero(0), one(1);
      for (const fragile* element : {&zero, &one}) {
        fragile::armed_copy = true;
        EXPECT_THROW(c.send(*element), std::runtime_error);
        EXPECT_THROW(c.try_send(*element), std::runtime_error);
        EXPECT_THROW(c.send_for(*element, 1s), std::runtime_error);
        EXPECT_THROW(select(on_send(c, *element)), std::runtime_error);
        fragile::armed_copy = false;
        until_waiting(1);  // still
        EXPECT_EQ(c.size(), 0u);
        if (element == &zero) {
          c.send(*element);
          until_waiting(1);
        } else {
          EXPECT_EQ(select(on_send(c, *element)), 0u);
        }
      }
      receiver.join();
      if (capacity == 0) continue;
      c.send(zero);
      fragile::armed_copy = true;
      EXPECT_THROW(c.send(one), std::runtime_error);
      fragile::armed_copy = false;
      EXPECT_EQ(c.size(), 1u);
      c.send(one);
      EXPECT_EQ(c.receive()->number, 0);
      EXPECT_EQ(c.receive()->number, 1);
    }
  });
}

TEST_P(exceptions_ends_conformance, exceptions_11_neighbour_a_move_that_throws_reaches_its_executor_and_changes_nothing) {
  in_runtime([this] {
    const channel<fragile> c(2);
    fragile value(7);
    fragile::armed_move = true;
    EXPECT_THROW(c.send(std::move(value)), std::runtime_error);
    EXPECT_EQ(value.number, 7);
    EXPECT_EQ(c.size(), 0u);
    fragile::armed_move = false;
    c.send(std::move(value));

    fragile::armed_move = true;
    EXPECT_THROW(c.receive(), std::runtime_error);
    EXPECT_THROW(c.try_receive(), std::runtime_error);
    fragile::armed_move = false;
    EXPECT_EQ(c.size(), 1u) << "the value is still the next one";
    EXPECT_EQ(c.receive()->number, 7);

    auto receiver = start([&] { EXPECT_EQ(c.receive()->number, 8); });
    until_waiting(1);
    fragile next(8);
    fragile::armed_move = true;
    EXPECT_THROW(c.send(std::move(next)), std::runtime_error);
    fragile::armed_move = false;
    until_waiting(1);
    c.send(std::move(next));
    receiver.join();
  });
}

// ---- 15: no memory for a stack -----------------------------------------------------------------------------------

/// Lets the process map `more` bytes beyond what it has; 0: whatever it wants.
void limit_address_space(std::size_t more) {
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = limit.rlim_max;
  if (more) {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    limit.rlim_cur = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + more;
  }
  setrlimit(RLIMIT_AS, &limit);
}

/// Starts what `start_one` starts until it throws std::bad_alloc; _exits with 1 when that leaks callables.
template <class F>
void exhaust_stacks(F start_one) {
  auto shared = std::make_shared<int>(0);
  long started = 0;
  limit_address_space(16 << 20);  // enough for the heap, not for another four stacks of 8 MiB
  try {
    for (;; ++started) start_one(shared);
  } catch (const std::bad_alloc&) {
  }
  limit_address_space(0);
  if (shared.use_count() != started + 1) {
    dprintf(STDERR_FILENO, "%ld callables for %ld fibers\n", shared.use_count() - 1, started);
    _exit(1);
  }
}

TEST_F(exceptions_conformance_death_test, exceptions_15_without_memory_for_a_stack_go_throws_and_the_others_go_on) {
  if (sanitized) GTEST_SKIP() << "sanitizers need the address space themselves";
  EXPECT_EXIT(
      {
        run({.workers = 2}, [] {
          const channel<int> there, back;
          auto existing = go([&] {
            for (int v : there) back.send(v + 1);
          });
          const channel<int> gate;
          std::vector<task<void>> tasks;
          tasks.reserve(1000);
          exhaust_stacks([&](const std::shared_ptr<int>& shared) {
            tasks.push_back(go({.stack = stack_class::huge}, [shared, &gate] { gate.receive(); }));
            there.send(1);
            back.receive();
          });
          there.send(41);
          if (back.receive() != 42) _exit(2);
          there.close();
          tasks.push_back(go({.stack = stack_class::huge}, [] {}));
          tasks.back().get();
        });
        _exit(0);
      },
      ::testing::ExitedWithCode(0), "^$");
}

TEST_F(exceptions_conformance_death_test, exceptions_15_neighbour_a_limited_groups_slot_is_given_back) {
  if (sanitized) GTEST_SKIP() << "sanitizers need the address space themselves";
  EXPECT_EXIT(
      {
        run({.workers = 2}, [] {
          task_group group({.limit = 2});
          std::vector<task<void>> all;
          all.reserve(1 << 12);
          limit_address_space(1);
          for (int i = 0; i < 10; ++i) {
            all.clear();
            try {  // first all the stacks that are mapped already
              for (;;) all.push_back(go([] { sleep_for(1h); }));
            } catch (const std::bad_alloc&) {
            }
            try {
              group.go([] {});
              _exit(1);
            } catch (const std::bad_alloc&) {
            }
          }
          limit_address_space(0);
          std::atomic<int> ran{0};
          for (int i = 0; i < 10; ++i) group.go([&] { ++ran; });
          group.wait();
          if (ran != 10) _exit(2);
        });
        _exit(0);
      },
      ::testing::ExitedWithCode(0), "^$");
}

}  // namespace
}  // namespace runnel::test
