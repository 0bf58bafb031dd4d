// Groups of tasks: whose error is reported, what it does to the others, and that all end together.
#include "support/fixture.hpp"

#include <atomic>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class group_conformance : public behaviour {
 protected:
  /// Errors that nobody took; installed for the length of a test.
  static inline std::atomic<int> unhandled{0};
  void SetUp() override {
    behaviour::SetUp();
    unhandled = 0;
    set_unhandled_hook([](std::exception_ptr, fiber_info) noexcept { unhandled.fetch_add(1); });
  }
  void TearDown() override { set_unhandled_hook(nullptr); }
};
RUNNEL_EVERY_CALLER(group_conformance);

struct first_error : std::runtime_error {
  first_error() : runtime_error("first") {}
};
struct second_error : std::runtime_error {
  second_error() : runtime_error("second") {}
};

/// What wait() throws; null when it does not.
std::exception_ptr result_of_wait(task_group& g) {
  try {
    g.wait();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

template <class E>
bool holds(const std::exception_ptr& e) {
  if (!e) return false;
  try {
    std::rethrow_exception(e);
  } catch (const E&) {
    return true;
  } catch (...) {
    return false;
  }
}

/// A group's child that runs until its group is canceled.
void until_canceled() {
  const channel<unit> never_closed;
  never_closed.receive();
}

TEST_P(group_conformance, group_01_every_wait_rethrows_the_first_error) {
  in_runtime([] {
    const std::exception_ptr none;
    const auto e1 = std::make_exception_ptr(first_error());
    const auto e2 = std::make_exception_ptr(second_error());
    const std::vector<std::vector<std::exception_ptr>> lists{{none}, {e1}, {e1, none}, {e1, none, e2}};
    for (const auto& errors : lists) {
      task_group g;
      std::exception_ptr first;
      for (const std::exception_ptr& e : errors) {
        g.go([e] {
          if (e) std::rethrow_exception(e);
        });
        if (!first) first = e;
        EXPECT_EQ(result_of_wait(g), first);
        EXPECT_EQ(result_of_wait(g), first) << "it is kept";
      }
    }
    EXPECT_EQ(unhandled.load(), 0);
  });
}

TEST_P(group_conformance, group_01_neighbour_the_first_error_in_time_wins_over_the_first_in_order) {
  in_runtime([] {
    channel<unit> second_has_failed;
    task_group g;
    g.go([&] {
      const cancel_shield shield;
      second_has_failed.receive();
      throw first_error();
    });
    g.go([&](const context& ctx) {
      EXPECT_EQ(ctx, g.get_context());
      throw second_error();
    });
    select(on_done(g.get_context()));
    second_has_failed.send({});
    EXPECT_TRUE(holds<second_error>(result_of_wait(g)));
  });
}

TEST_P(group_conformance, group_03_the_cause_of_the_groups_context_is_the_very_error_or_a_cancellation) {
  in_runtime([] {
    task_group failing;
    failing.go([] {});
    failing.go([] { throw first_error(); });
    const std::exception_ptr thrown = result_of_wait(failing);
    EXPECT_TRUE(holds<first_error>(thrown));
    EXPECT_EQ(failing.get_context().cause(), thrown);

    task_group clean;
    clean.go([] {});
    EXPECT_EQ(clean.get_context().cause(), nullptr);
    clean.wait();
    EXPECT_TRUE(clean.get_context().is_canceled());
    EXPECT_TRUE(holds<canceled>(clean.get_context().cause()));
  });
}

TEST_P(group_conformance, group_03_neighbour_siblings_meet_the_error_as_the_cause_of_their_cancellation) {
  in_runtime([] {
    std::exception_ptr met;
    std::exception_ptr thrown;
    try {
      with_task_group([&](task_group& g) {
        g.go([&] {
          try {
            until_canceled();
          } catch (const canceled& c) {
            met = c.cause();
            EXPECT_EQ(c.origin(), g.get_context());
            throw;
          }
        });
        g.go([] { throw first_error(); });
      });
    } catch (const first_error&) {
      thrown = std::current_exception();
    }
    ASSERT_NE(thrown, nullptr);
    EXPECT_EQ(met, thrown);
    EXPECT_FALSE(context::current().is_canceled());
  });
}

TEST_P(group_conformance, group_05_no_more_tasks_than_the_limit_run_at_once) {
  in_runtime([this] {
    std::atomic<int> active{0}, most{0}, ended{0};
    task_group g({.limit = 10});
    for (int i = 0; i < 1025; ++i) {
      g.go([&] {
        const int now = active.fetch_add(1) + 1;
        int seen = most.load();
        while (seen < now && !most.compare_exchange_weak(seen, now)) {
        }
        yield();
        active.fetch_sub(1);
        ended.fetch_add(1);
      });
    }
    g.wait();
    EXPECT_LE(most.load(), 10);
    EXPECT_GT(most.load(), 1);
    EXPECT_EQ(ended.load(), 1025);

    channel<unit> gate;
    task_group full({.limit = 2});
    for (int i = 0; i < 2; ++i) full.go([gate] { gate.receive(); });
    std::atomic<bool> third_ran{false};
    auto starter = start([&] { full.go([&] { third_ran = true; }); });
    until_waiting(3);
    EXPECT_FALSE(third_ran) << "go() waits for a slot";
    gate.send({});
    starter.join();
    gate.send({});
    full.wait();
    EXPECT_TRUE(third_ran);

    task_group other({.limit = 1});
    other.go([gate] { gate.receive(); });
    auto c = derive_cancel(context::current());
    auto gives_up = start([&, ctx = c.ctx] {
      const context_scope scope(ctx);
      EXPECT_THROW(other.go([] { ADD_FAILURE() << "it never got a slot"; }), canceled);
    });
    until_waiting(2);
    c.cancel();
    gives_up.join();
    gate.send({});
    other.wait();
  });
}

TEST_P(group_conformance, group_05_neighbour_try_go_refuses_at_the_limit_and_after_the_end) {
  in_runtime([] {
    EXPECT_THROW(task_group({.limit = 0}), misuse);
    channel<unit> gate;
    std::atomic<int> ran{0};
    task_group g({.limit = 1});
    EXPECT_TRUE(g.try_go([&] {
      gate.receive();
      ran.fetch_add(1);
    }));
    EXPECT_FALSE(g.try_go([&] { ran.fetch_add(100); }));
    EXPECT_FALSE(g.wait_for(0s));
    gate.send({});
    g.go([&] { ran.fetch_add(1); });
    g.wait();
    EXPECT_FALSE(g.try_go([&] { ran.fetch_add(100); })) << "the context is canceled after wait()";
    g.go([&] {
      EXPECT_THROW(yield(), canceled) << "it starts in the canceled context";
      ran.fetch_add(1);
    });
    g.wait();
    EXPECT_EQ(ran.load(), 3);
  });
}

TEST_P(group_conformance, group_07_where_failures_are_collected_siblings_go_on) {
  in_runtime([] {
    std::atomic<bool> by_the_timer{false};
    task_group g({.on_failure = failure_policy::collect_all});
    g.go([&] { by_the_timer = select(on_done(g.get_context()), on_timeout(10ms)) == 1; });
    g.go([] { throw first_error(); });
    try {
      g.wait();
      ADD_FAILURE() << "a task has failed";
    } catch (const task_group_error& e) {
      ASSERT_EQ(e.errors().size(), 1u) << "and no cancellation";
      EXPECT_TRUE(holds<first_error>(e.errors()[0]));
    }
    EXPECT_TRUE(by_the_timer);
  });
}

TEST_P(group_conformance, group_07_neighbour_otherwise_a_failure_cancels_siblings_that_are_no_errors_then) {
  in_runtime([] {
    std::atomic<int> canceled_siblings{0};
    task_group g;
    for (int i = 0; i < 3; ++i) {
      g.go([&] {
        try {
          sleep_for(1h);
        } catch (const canceled&) {
          canceled_siblings.fetch_add(1);
          throw;
        }
      });
    }
    g.go([] { throw first_error(); });
    EXPECT_TRUE(holds<first_error>(result_of_wait(g)));
    EXPECT_EQ(canceled_siblings.load(), 3);

    task_group own_limit;
    own_limit.go([] { with_timeout(1ms, [] { until_canceled(); }); });
    EXPECT_TRUE(holds<deadline_exceeded>(result_of_wait(own_limit))) << "a child's own time-out is an error";
  });
}

TEST_P(group_conformance, group_09_all_failures_come_in_the_order_of_the_starts) {
  in_runtime([] {
    channel<unit> second_is_over;
    task_group g({.on_failure = failure_policy::collect_all});
    g.go([&] {
      second_is_over.receive();
      throw first_error();
    });
    g.go([] {});
    g.go([&] {
      struct announce {
        channel<unit>& c;
        ~announce() { c.close(); }
      } at_end{second_is_over};
      throw second_error();
    });
    try {
      g.wait();
      ADD_FAILURE() << "two tasks have failed";
    } catch (const task_group_error& e) {
      ASSERT_EQ(e.errors().size(), 2u);
      EXPECT_TRUE(holds<first_error>(e.errors()[0]));
      EXPECT_TRUE(holds<second_error>(e.errors()[1]));
      EXPECT_NE(std::string(e.what()).find('2'), std::string::npos) << e.what();
    }
  });
}

TEST_P(group_conformance, group_09_neighbour_the_failure_of_the_body_is_collected_with_those_of_many_tasks) {
  in_runtime([] {
    constexpr std::size_t n = 100;
    try {
      with_task_group({.on_failure = failure_policy::collect_all}, [&](task_group& g) {
        wait_group about_to_fail;
        about_to_fail.add(n);
        for (std::size_t i = 0; i < n; ++i) {
          g.go([&, i] {
            for (std::size_t k = 0; k < i % 7; ++k) yield();
            about_to_fail.done();
            throw std::to_string(i);
          });
        }
        about_to_fail.wait();
        throw first_error();
      });
      ADD_FAILURE() << "all have failed";
    } catch (const task_group_error& e) {
      EXPECT_EQ(e.errors().size(), n + 1);
      std::size_t next = 0;
      bool of_the_body = false;
      for (const std::exception_ptr& one : e.errors()) {
        try {
          std::rethrow_exception(one);
        } catch (const std::string& s) {
          EXPECT_EQ(s, std::to_string(next++));
        } catch (const first_error&) {
          of_the_body = true;
        }
      }
      EXPECT_EQ(next, n);
      EXPECT_TRUE(of_the_body);
    }
    EXPECT_THROW(with_task_group([](task_group& g) {
                   g.go([] { until_canceled(); });
                   throw second_error();
                 }),
                 second_error)
        << "the body's failure cancels the tasks";
  });
}

TEST_P(group_conformance, group_11_a_canceled_group_keeps_what_was_done) {
  in_runtime([this] {
    std::atomic<int> results{0}, cancellations{0};
    task_group g;
    wait_group first_half;
    first_half.add(5);
    for (int i = 0; i < 10; ++i) {
      g.go([&, i] {
        if (i < 5) {
          results.fetch_add(1);
          first_half.done();
          return;
        }
        EXPECT_THROW(until_canceled(), canceled);
        cancellations.fetch_add(1);
        yield();
      });
    }
    first_half.wait();
    until_waiting(5);
    g.cancel();
    EXPECT_EQ(result_of_wait(g), nullptr) << "its own cancellation is no error";
    EXPECT_EQ(results.load(), 5);
    EXPECT_EQ(cancellations.load(), 5);
  });
}

TEST_P(group_conformance, group_11_neighbour_a_wait_that_is_canceled_from_outside_ends_the_group_and_says_so) {
  in_runtime([this] {
    std::atomic<int> ended{0};
    auto outer = derive_cancel(context::current());
    auto waiting = start([&, ctx = outer.ctx] {
      const context_scope scope(ctx);
      try {
        with_task_group([&](task_group& g) {
          for (int i = 0; i < 5; ++i) {
            g.go([&] {
              try {
                until_canceled();
              } catch (const canceled&) {
                const cancel_shield shield;
                sleep_for(1ms);
                ended.fetch_add(1);
                throw;
              }
            });
          }
        });
        ADD_FAILURE() << "the caller was canceled";
      } catch (const canceled& c) {
        EXPECT_EQ(c.origin(), ctx);
        EXPECT_EQ(ended.load(), 5) << "it joins first";
      }
    });
    until_waiting(6);
    outer.cancel();
    waiting.join();
  });
}

TEST_P(group_conformance, group_13_a_group_that_is_left_by_an_exception_cancels_joins_and_lets_it_pass) {
  in_runtime([this] {
    std::atomic<int> ended{0};
    EXPECT_THROW(
        {
          task_group g;
          for (int i = 0; i < 16; ++i) {
            g.go([&] {
              try {
                until_canceled();
              } catch (const canceled&) {
                ended.fetch_add(1);
                throw second_error();
              }
            });
          }
          until_waiting(16);
          throw first_error();
        },
        first_error);
    EXPECT_EQ(ended.load(), 16);
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(unhandled.load(), 0) << "not while another one flies";
  });
}

TEST_P(group_conformance, group_13_neighbour_a_group_that_is_dropped_reports_the_error_nobody_took) {
  in_runtime([this] {
    std::atomic<int> ended{0};
    {
      task_group g;
      for (int i = 0; i < 3; ++i) {
        g.go([&] {
          EXPECT_THROW(until_canceled(), canceled);
          ended.fetch_add(1);
        });
      }
      until_waiting(3);
    }
    EXPECT_EQ(ended.load(), 3);
    EXPECT_EQ(unhandled.load(), 0) << "cancellations are none";
    {
      task_group g;
      g.go([] { throw first_error(); });
      select(on_done(g.get_context()));
    }
    EXPECT_EQ(unhandled.load(), 1);
  });
}

}  // namespace
}  // namespace runnel::test
