// single_flight: one execution, shared by all who ask meanwhile, whoever of them is canceled.
#include "support/fixture.hpp"

#include <runnel/debug/dump_fibers.hpp>
#include <runnel/patterns/single_flight.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class single_flight_laws : public behaviour {};
RUNNEL_EVERY_CALLER(single_flight_laws);

using flights_of_int = single_flight<std::string, int>;

TEST_P(single_flight_laws, all_who_ask_meanwhile_share_one_execution_and_the_next_starts_anew) {
  in_runtime([this] {
    flights_of_int flights;
    channel<unit> gate;
    std::atomic<int> runs{0};
    int written = 0;
    std::vector<party> parties;
    for (int n = 0; n < 6; ++n)
      parties.push_back(start([&] {
        const auto r = flights.run_shared("k", [&] {
          gate.receive();
          written = 7;
          return ++runs;
        });
        EXPECT_EQ(r.value, 1);
        EXPECT_TRUE(r.shared);
        EXPECT_EQ(written, 7);
      }));
    until_waiting(6);
    EXPECT_EQ(flights.run("another", [] { return 5; }), 5) << "another key does not wait";
    gate.close();
    for (party& p : parties) p.join();
    const auto alone = flights.run_shared("k", [&] { return ++runs; });
    EXPECT_EQ(alone.value, 2);
    EXPECT_FALSE(alone.shared);
  });
}

TEST_P(single_flight_laws, an_exception_goes_to_all_and_is_not_kept) {
  in_runtime([this] {
    flights_of_int flights;
    channel<unit> gate;
    std::atomic<int> caught{0};
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n)
      parties.push_back(start([&] {
        try {
          flights.run("k", [&]() -> int {
            gate.receive();
            throw std::domain_error("no");
          });
        } catch (const std::domain_error&) {
          ++caught;
        }
      }));
    until_waiting(4);
    gate.close();
    for (party& p : parties) p.join();
    EXPECT_EQ(caught, 4);
    EXPECT_EQ(flights.run("k", [] { return 1; }), 1);
  });
}

TEST_P(single_flight_laws, a_waiter_that_is_canceled_leaves_alone) {
  in_runtime([this] {
    flights_of_int flights;
    channel<unit> gate;
    auto leader = start([&] {
      const auto r = flights.run_shared("k", [&] {
        gate.receive();
        return 1;
      });
      EXPECT_FALSE(r.shared) << "nobody else got it";
    });
    until_waiting(1);
    auto c = derive_cancel(context::current());
    auto waiter = start([&] {
      const context_scope scope(c.ctx);
      EXPECT_THROW(flights.run("k", [] { return 2; }), canceled);
    });
    until_waiting(2);
    c.cancel();
    waiter.join();
    gate.close();
    leader.join();
  });
}

TEST_P(single_flight_laws, when_who_runs_is_canceled_the_next_one_runs_his_own) {
  in_runtime([this] {
    flights_of_int flights;
    channel<unit> gate, begun;
    auto c = derive_cancel(context::current());
    auto leader = start([&] {
      const context_scope scope(c.ctx);
      EXPECT_THROW(flights.run("k",
                               [&] {
                                 gate.receive();
                                 return 1;
                               }),
                   canceled);
    });
    until_waiting(1);
    std::atomic<int> runs{0};
    std::vector<party> others;
    for (int n = 0; n < 3; ++n)
      others.push_back(start([&] {
        EXPECT_EQ(flights.run("k",
                              [&] {
                                ++runs;
                                begun.send({});
                                gate.receive();
                                return 2;
                              }),
                  2);
      }));
    until_waiting(4);
    c.cancel();
    leader.join();
    begun.receive();
    gate.close();
    for (party& p : others) p.join();
    EXPECT_EQ(runs, 1);
    EXPECT_THROW(
        {
          const context_scope scope(c.ctx);
          flights.run("k", [] { return 1; });
        },
        canceled)
        << "at the entry";
    EXPECT_EQ(flights.run("k", [] { return 3; }), 3) << "nothing is left of it";
  });
}

TEST_P(single_flight_laws, whose_given_context_ends_leaves_and_the_others_go_on) {
  in_runtime([this] {
    flights_of_int flights;
    auto given = derive_cancel(context::background());
    channel<unit> gate, begun;
    const auto leaves = [&](int made) {
      return [&, made] {
        try {
          flights.run(given.ctx, "k", [&] { return gate.receive(), made; });
          ADD_FAILURE() << "was not canceled";
        } catch (const canceled& c) {
          EXPECT_EQ(c.origin(), given.ctx);
        }
      };
    };
    auto leader = start(leaves(1));
    until_waiting(1);
    auto waiter = start(leaves(2));
    until_waiting(2);
    auto other = start([&] {
      const auto r = flights.run_shared(context::background(), "k", [&] {
        begun.close();
        gate.receive();
        return 3;
      });
      EXPECT_EQ(r.value, 3);
      EXPECT_FALSE(r.shared);
    });
    until_waiting(3);
    given.cancel();
    leader.join();
    waiter.join();
    begun.receive();
    gate.close();
    other.join();
  });
}

TEST_P(single_flight_laws, reports_say_that_another_runs) {
  in_runtime([this] {
    flights_of_int flights;
    channel<unit> gate;
    std::vector<party> parties;
    for (int n = 0; n < 2; ++n)
      parties.push_back(start([&] { flights.run("k", [&] { return gate.receive(), 1; }); }));
    until_waiting(2);
    const std::string report = fiber_report();
    if (!from_threads()) {
      EXPECT_NE(report.find("another's execution in a single_flight"), std::string::npos) << report;
    }
    gate.close();
    for (party& p : parties) p.join();
  });
}

TEST_P(single_flight_laws, a_time_limit_of_the_function_is_an_error_like_others) {
  in_runtime([] {
    flights_of_int flights;
    EXPECT_THROW(flights.run("k", [] { return with_timeout(1us, [] { return sleep_for(1h), 1; }); }), deadline_exceeded);
    EXPECT_EQ(flights.run("k", [] { return 2; }), 2);
  });
}

TEST_P(single_flight_laws, who_comes_after_forget_does_not_share) {
  in_runtime([this] {
    flights_of_int flights;
    channel<unit> gate;
    auto first = start([&] {
      EXPECT_EQ(flights.run("k",
                            [&] {
                              gate.receive();
                              return 1;
                            }),
                1);
    });
    until_waiting(1);
    flights.forget("k");
    flights.forget("unknown");
    EXPECT_EQ(flights.run("k", [] { return 2; }), 2);
    gate.close();
    first.join();
  });
}

TEST_P(single_flight_laws, a_function_that_asks_for_its_own_key_is_told) {
  in_runtime([] {
    flights_of_int flights;
    EXPECT_THROW(flights.run("k", [&] { return flights.run("k", [] { return 1; }); }), misuse);
    EXPECT_EQ(flights.run("k", [&] { return flights.run("l", [] { return 1; }); }), 1) << "another's is no harm";
  });
}

/// Counts its copies; throws at the first where it has to.
struct counted {
  explicit counted(std::atomic<int>& c, bool t = false) : copies(&c), throws(t) {}
  counted(counted&&) noexcept = default;
  counted(const counted& o) : copies(o.copies), throws(o.throws) {
    ++*copies;
    if (throws) throw std::bad_alloc();
  }
  std::atomic<int>* copies;
  bool throws;
};

TEST_P(single_flight_laws, who_shares_gets_a_copy_and_who_is_alone_needs_none) {
  in_runtime([this] {
    single_flight<int, counted> flights;
    std::atomic<int> copies{0}, failed{0};
    flights.run(1, [&] { return counted(copies); });
    EXPECT_EQ(copies, 0);
    channel<unit> gate;
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n)
      parties.push_back(start([&] {
        flights.run(1, [&] {
          gate.receive();
          return counted(copies);
        });
      }));
    until_waiting(4);
    gate.send({});
    for (party& p : parties) p.join();
    EXPECT_EQ(copies, 4) << "one for each who shares, one to keep meanwhile";
    parties.clear();
    for (int n = 0; n < 3; ++n)
      parties.push_back(start([&] {
        try {
          flights.run(1, [&] {
            gate.receive();
            return counted(copies, true);
          });
        } catch (const std::bad_alloc&) {
          ++failed;
        }
      }));
    until_waiting(3);
    gate.close();
    for (party& p : parties) p.join();
    EXPECT_EQ(failed, 2) << "a copy that fails fails for those who need it";
  });
}

}  // namespace
}  // namespace runnel::test
