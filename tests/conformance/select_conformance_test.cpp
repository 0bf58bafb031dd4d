// select as its originals promise it: one case takes place, the others have never been there.
#include "support/fixture.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class select_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(select_conformance);

class select_plain_conformance : public plain {};

// ---- 05: nothing to wait for

TEST_P(select_conformance, select_05_without_a_case_it_waits_until_it_is_canceled) {
  in_runtime([this] {
    auto [ctx, cancel] = derive_cancel(context::current());
    std::atomic<bool> returned{false};
    auto waiting = start([ctx = ctx, &returned] {
      const context_scope ambient(ctx);
      EXPECT_THROW(select(), canceled);
      EXPECT_THROW(select(), canceled) << "also when it is canceled beforehand";
      returned = true;
    });
    until_waiting(1);
    EXPECT_FALSE(returned);
    cancel();
    waiting.join();
  });
}

TEST_F(select_plain_conformance, select_05_without_a_case_counts_as_blocked_for_the_deadlock_report) {
  struct deadlock : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  run_options options;
  options.workers = 2;
  options.on_deadlock = [](std::string_view report) { throw deadlock(std::string(report)); };
  std::string report;
  in_runtime({.workers = 2}, [] {});
  try {
    run(options, [] { select(); });
    ADD_FAILURE() << "returned";
  } catch (const deadlock& d) {
    report = d.what();
  }
  EXPECT_NE(report.find("select"), std::string::npos) << report;
  EXPECT_NE(report.find("main"), std::string::npos) << report;
  EXPECT_EQ(stats().live_fibers, 0u);
}

TEST_P(select_conformance, select_05_neighbour_with_all_cases_disabled_it_waits_as_well) {
  in_runtime([this] {
    const channel<int> null = nullptr;
    channel<int> ready(1);
    ready.send(1);
    auto [ctx, cancel] = derive_cancel(context::current());
    auto waiting = start([=, ctx = ctx] {
      const context_scope ambient(ctx);
      std::optional<int> out;
      EXPECT_THROW(select(on_receive(null, out), on_send(null, 1), on_receive(ready, out).when(false), otherwise().when(false)),
                   canceled);
      selector none;
      EXPECT_THROW(none.run(), canceled);
    });
    until_waiting(1);
    cancel();
    waiting.join();
    EXPECT_EQ(ready.size(), 1u);
    EXPECT_EQ(select(on_receive(null), on_send(null, 1), otherwise()), 2u);
    EXPECT_EQ(select(on_receive(null), on_receive(ready).when(true), otherwise().when(false)), 1u);
  });
}

// ---- 07: both directions of one channel

TEST_P(select_conformance, select_07_it_does_not_meet_itself_on_a_rendezvous_channel) {
  in_runtime([this] {
    for (bool other_sends : {false, true}) {
      const channel<int> c;
      std::atomic<int> fired{0};
      auto both = start([c, other_sends, &fired] {
        std::optional<int> got;
        const auto which = select(on_send(c, 1), on_receive(c, got));
        ++fired;
        EXPECT_EQ(which, other_sends ? 1u : 0u);
        EXPECT_EQ(got, other_sends ? std::optional(2) : std::nullopt);
      });
      until_waiting(1);
      EXPECT_EQ(fired, 0);
      if (other_sends) {
        c.send(2);
      } else {
        EXPECT_EQ(c.receive(), 1);
      }
      both.join();
      EXPECT_EQ(fired, 1);
      EXPECT_EQ(c.try_receive().status, channel_status::would_block) << "the other case is gone";
      EXPECT_EQ(c.try_send(3), channel_status::would_block);
    }
  });
}

TEST_P(select_conformance, select_07_neighbour_with_a_buffer_it_serves_itself_without_waiting) {
  in_runtime([] {
    const channel<int> c(1);
    std::optional<int> got;
    EXPECT_EQ(select(on_receive(c, got), on_send(c, 1)), 1u);
    EXPECT_EQ(select(on_receive(c, got), on_send(c, 2)), 0u);
    EXPECT_EQ(got, 1);
    EXPECT_EQ(c.size(), 0u);
  });
}

TEST_P(select_conformance, select_07_neighbour_a_case_that_does_not_take_place_leaves_its_variable_and_its_value_alone) {
  in_runtime([this] {
    const channel<std::unique_ptr<int>> silent, full;
    const channel<std::unique_ptr<int>> ready(1);
    for (bool parks : {false, true}) {
      std::optional<std::unique_ptr<int>> out = std::make_unique<int>(1);
      auto kept = std::make_unique<int>(2);
      std::optional<party> sender;
      if (parks) {
        sender = start([this, ready] {
          until_waiting(1);
          ready.send(nullptr);
        });
      } else {
        ready.send(nullptr);
      }
      EXPECT_EQ(select(on_receive(silent, out), on_send(full, std::move(kept)), on_receive(ready)), 2u);
      ASSERT_NE(kept, nullptr);
      EXPECT_EQ(*kept, 2);
      EXPECT_TRUE(out && *out && **out == 1) << "parks: " << parks;
      if (sender) sender->join();
    }
  });
}

// ---- 09 and 17: leaving queues

TEST_P(select_conformance, select_09_leaving_a_queue_at_its_tail_leaves_it_intact) {
  in_runtime([this] {
    const channel<int> c1, c2;
    auto first = start([c1] { EXPECT_EQ(c1.receive(), 1); });
    until_waiting(1);
    auto second = start([c1, c2] {
      std::optional<int> got;
      EXPECT_EQ(select(on_receive(c1), on_receive(c2, got)), 1u);
      EXPECT_EQ(got, 9);
      EXPECT_EQ(c1.receive(), 2);
    });
    until_waiting(2);
    c2.send(9);
    c1.send(1);
    c1.send(2);
    first.join();
    second.join();
  });
}

TEST_P(select_conformance, select_09_neighbour_leaving_at_the_front_or_in_the_middle_keeps_the_order_of_the_others) {
  in_runtime([this] {
    for (std::size_t leaver = 0; leaver < 3; ++leaver) {
      const channel<int> c, leave;
      std::vector<party> parties;
      for (std::size_t i = 0; i < 3; ++i) {
        const int expected = static_cast<int>(i < leaver ? i : i - 1);
        parties.push_back(start([=] {
          std::optional<int> got;
          if (i == leaver) {
            EXPECT_EQ(select(on_receive(leave), on_receive(c)), 0u);
          } else {
            EXPECT_EQ(select(on_receive(c, got)), 0u);
            EXPECT_EQ(got, expected);
          }
        }));
        until_waiting(i + 1);
      }
      leave.send(0);
      parties[leaver].join();
      c.send(0);
      c.send(1);
      for (auto& p : parties)
        if (&p != &parties[leaver]) p.join();
      EXPECT_EQ(c.try_send(2), channel_status::would_block);
    }
  });
}

TEST_P(select_conformance, select_17_leaving_a_queue_it_stood_in_twice_leaves_the_next_in_place) {
  in_runtime([this] {
    const channel<int> c, d;
    auto a = start([c, d] { EXPECT_EQ(select(on_receive(c), on_receive(c), on_receive(d)), 2u); });
    until_waiting(1);
    auto b = start([c] { EXPECT_EQ(c.receive(), 17); });
    until_waiting(2);
    d.send(0);
    a.join();
    c.send(17);
    b.join();
  });
}

TEST_P(select_conformance, select_17_neighbour_leaving_the_senders_queue_it_stood_in_twice_as_well) {
  in_runtime([this] {
    const channel<int> c, d;
    auto a = start([c, d] { EXPECT_EQ(select(on_send(c, 1), on_send(c, 2), on_receive(d)), 2u); });
    until_waiting(1);
    auto b = start([c] { c.send(17); });
    until_waiting(2);
    d.send(0);
    a.join();
    EXPECT_EQ(c.receive(), 17);
    b.join();
  });
}

TEST_P(select_conformance, select_17_neighbour_one_value_fires_one_of_two_equal_cases) {
  in_runtime([this] {
    const channel<int> c;
    std::array<int, 2> hits{};
    auto a = start([c, &hits] {
      ++hits[select(on_receive(c), on_receive(c))];
      EXPECT_EQ(c.receive(), 2);
    });
    until_waiting(1);
    c.send(1);
    c.send(2);
    a.join();
    EXPECT_EQ(hits[0] + hits[1], 1);
  });
}

// ---- 23: when the value of a send case is made

TEST_P(select_conformance, select_23_the_value_expression_runs_before_the_select_looks) {
  in_runtime([] {
    const channel<int> c(1), full;
    c.send(1);
    EXPECT_EQ(select(on_send(c, *c.receive() + 1), otherwise()), 0u) << "the expression made the room";
    EXPECT_EQ(c.size(), 1u);
    EXPECT_EQ(select(on_send(full, *c.receive() + 1), otherwise()), 1u);
    EXPECT_EQ(c.size(), 0u) << "taken once, and lost with the expression";
    EXPECT_EQ(c.try_receive().status, channel_status::would_block);
  });
}

TEST_P(select_conformance, select_23_neighbour_the_supplier_of_a_selector_runs_once_for_each_value_that_is_sent) {
  in_runtime([] {
    const channel<int> c(3), target(1);
    for (int i = 1; i <= 3; ++i) c.send(i);
    int supplied = 0;
    selector s;
    s.add(on_send(target, [&] {
      ++supplied;
      return *c.receive();  // uses a channel: no lock is held here
    }));
    s.add(otherwise());
    EXPECT_EQ(s.run(), 0u);
    EXPECT_EQ(s.run(), 1u);
    EXPECT_EQ(s.run(), 1u);
    EXPECT_EQ(supplied, 2) << "one that was not sent is offered again";
    EXPECT_EQ(c.size(), 1u);
    EXPECT_EQ(target.receive(), 1);
    EXPECT_EQ(s.run(), 0u);
    EXPECT_EQ(target.receive(), 2);
    EXPECT_EQ(supplied, 2);
  });
}

// ---- 29: time-outs that have passed

TEST_P(select_conformance, select_29_time_outs_that_are_not_positive_fire_at_once_and_fairly) {
  in_runtime([] {
    EXPECT_EQ(select(on_timeout(1h), on_timeout(0s)), 1u);
    EXPECT_EQ(select(on_timeout(1h), on_timeout(-10ms)), 1u);
    EXPECT_EQ(select(on_receive(after(1h)), on_receive(after(0s))), 1u);
    EXPECT_EQ(select(on_receive(after(1h)), on_receive(after(-10ms))), 1u);
    const std::size_t rounds = scaled(10'000);
    std::array<std::size_t, 3> hits{};
    for (std::size_t i = 0; i < rounds; ++i) ++hits[select(on_timeout(1h), on_timeout(0s), on_timeout(-10ms))];
    EXPECT_EQ(hits[0], 0u);
    EXPECT_GT(hits[1], rounds / 4);
    EXPECT_GT(hits[2], rounds / 4);
  });
}

TEST_P(select_conformance, select_29_neighbour_a_limit_counts_from_each_run_and_the_longest_never_passes) {
  in_runtime([] {
    const channel<int> c(1);
    selector s;
    s.add(on_timeout(2ms));
    s.add(on_receive(c));
    s.add(on_timeout(std::chrono::hours::max()));
    for (int i = 0; i < 3; ++i) {
      const auto begun = steady_clock::now();
      EXPECT_EQ(s.run(), 0u);
      EXPECT_GE(steady_clock::now() - begun, 2ms);
    }
    EXPECT_EQ(select(on_timeout(std::chrono::hours::max()), on_timeout(1ms)), 1u);
    EXPECT_EQ(select(on_timeout(std::chrono::hours::max()), otherwise()), 1u);
    EXPECT_EQ(select(on_timeout(0s), otherwise()), 0u) << "ready, so that there is no otherwise";
  });
}

// ---- 33: handlers that throw

struct from_handler : std::runtime_error {
  from_handler() : std::runtime_error("from a handler") {}
};

TEST_P(select_conformance, select_33_an_exception_of_a_handler_leaves_after_the_operation_and_nothing_stays_behind) {
  in_runtime([this] {
    const std::size_t rounds = scaled(from_threads() ? 2000 : 10'000);
    const channel<std::size_t> c(1), other, answers;
    auto sender = start([=] {
      for (std::size_t i = 0; i < rounds; ++i) {
        c.send(i);
        EXPECT_EQ(answers.receive(), i);
      }
    });
    for (std::size_t i = 0; i < rounds; ++i) {
      std::size_t got = rounds;
      EXPECT_THROW(select(on_receive(other),
                          on_receive(c,
                                     [&got](std::optional<std::size_t> v) {
                                       got = v.value();
                                       throw from_handler();
                                     }),
                          on_send(other, std::size_t{7})),
                   from_handler);
      EXPECT_EQ(got, i);
      EXPECT_EQ(c.size(), 0u);
      EXPECT_EQ(other.try_receive().status, channel_status::would_block);
      EXPECT_EQ(other.try_send(1), channel_status::would_block);
      EXPECT_THROW(select(on_send(answers, std::size_t{i}, [] { throw from_handler(); })), from_handler);
    }
    sender.join();
  });
}

TEST_P(select_conformance, select_33_neighbour_a_selector_goes_on_after_a_handler_has_thrown) {
  in_runtime([] {
    const channel<int> c(2);
    int supplied = 0;
    selector s;
    s.add(on_send(
        c, [&supplied] { return ++supplied; }, [] { throw from_handler(); }));
    s.add(otherwise([] { throw std::logic_error("full"); }));
    EXPECT_THROW(s.run(), from_handler);
    EXPECT_THROW(s.run(), from_handler);
    EXPECT_THROW(s.run(), std::logic_error);
    EXPECT_EQ(c.receive(), 1);
    EXPECT_EQ(c.receive(), 2);
    EXPECT_THROW(s.run(), from_handler);
    EXPECT_EQ(c.receive(), 3);
  });
}

/// Its move throws while armed; `in_move` may look around first.
struct brittle {
  explicit brittle(int v) : value(v) {}
  brittle(brittle&& o) : value(o.value), in_move(o.in_move) {
    if (in_move && *in_move) {
      (*in_move)();
      throw from_handler();
    }
  }
  int value;
  std::function<void()>* in_move = nullptr;
};

TEST_P(select_conformance, select_33_neighbour_a_move_that_throws_changes_nothing) {
  in_runtime([this] {
    std::function<void()> nothing = [] {};
    const channel<brittle> c, d(1);
    brittle bad(1);
    bad.in_move = &nothing;
    EXPECT_THROW(d.send(std::move(bad)), from_handler);
    EXPECT_THROW(select(on_send(d, std::move(bad)), on_receive(c)), from_handler);
    EXPECT_EQ(d.size(), 0u);
    auto receiver = start([c, d] {
      std::optional<int> got;
      const auto keep = [&got](std::optional<brittle> v) { got = v ? v->value : -1; };
      EXPECT_EQ(select(on_receive(c, keep), on_receive(d, keep)), 0u);
      EXPECT_EQ(got, 2);
    });
    until_waiting(1);
    EXPECT_THROW(c.send(std::move(bad)), from_handler) << "the receiver goes on waiting";
    EXPECT_THROW(d.try_send(std::move(bad)), from_handler);
    EXPECT_EQ(c.try_send(brittle(2)), channel_status::ok);
    receiver.join();
    EXPECT_EQ(d.size(), 0u);
  });
}

class select_parallel_conformance : public behaviour {};
INSTANTIATE_TEST_SUITE_P(callers, select_parallel_conformance, ::testing::Values(four_workers, plain_threads),
                         [](const auto& param_info) { return param_info.param.threads ? "threads" : "workers_4"; });

// While one channel tries a hand-off to a select (and fails, as the move throws), another has a value for it.
TEST_P(select_parallel_conformance, select_33_neighbour_a_move_that_throws_does_not_cost_the_select_another_channel) {
  in_runtime([this] {
    const channel<brittle> c, d;
    std::atomic<bool> in_move{false}, sent{false};
    const std::size_t parked = stats().parked;
    auto receiver = start([c, d] {
      std::optional<int> got;
      const auto keep = [&got](std::optional<brittle> v) { got = v ? v->value : -1; };
      EXPECT_EQ(select(on_receive(c, keep), on_receive(d, keep)), 1u);
      EXPECT_EQ(got, 2);
    });
    until_waiting(1);
    std::function<void()> until_the_other_waits = [&] {
      in_move = true;
      while (stats().parked < parked + 2 && !sent) std::this_thread::yield();
    };
    auto thrower = start([&, c] {
      brittle bad(1);
      bad.in_move = &until_the_other_waits;
      EXPECT_THROW(c.send(std::move(bad)), from_handler);
    });
    auto sender = start([&, d] {
      while (!in_move) yield();
      d.send(brittle(2));
      sent = true;
    });
    thrower.join();
    sender.join();
    receiver.join();
  });
}

}  // namespace
}  // namespace runnel::test
