// Virtual time: it jumps when nothing else can happen, and only then; what can never go on is reported.
#include "support/fixture.hpp"

#include <runnel/fd.hpp>
#include <runnel/testing/bubble.hpp>

#include <unistd.h>

#include <array>
#include <atomic>
#include <optional>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class bubble_test : public behaviour {};
RUNNEL_EVERY_CALLER(bubble_test);

const time_point epoch{std::chrono::seconds(946'684'800)};

/// What a bubble says that must fail.
template <class F>
std::string failure_of(F body) {
  try {
    bubble(body);
  } catch (const bubble_error& e) {
    return e.what();
  }
  return "no bubble_error";
}

TEST_P(bubble_test, time_stands_still_while_anybody_runs_and_jumps_when_all_are_blocked) {
  in_runtime([] {
    bubble([] {
      EXPECT_EQ(steady_clock::now(), epoch);
      std::vector<int> order;
      with_task_group([&](task_group& group) {
        for (int i : {3, 1, 2})
          group.go([&, i] {
            for (int k = 0; k < 100; ++k) yield();
            EXPECT_EQ(steady_clock::now(), epoch);
            sleep_for(i * 1h);
            EXPECT_EQ(steady_clock::now(), epoch + i * 1h);
            order.push_back(i);  // ordered by the clock
          });
      });
      EXPECT_EQ(order, (std::vector{1, 2, 3}));
      EXPECT_EQ(steady_clock::now(), epoch + 3h);
    });
  });
}

TEST_P(bubble_test, limits_and_tickers_are_exact) {
  in_runtime([] {
    bubble([] {
      channel<int> c;
      EXPECT_EQ(c.receive_for(90min).status, channel_status::timed_out);
      EXPECT_EQ(steady_clock::now(), epoch + 90min);
      EXPECT_THROW(with_timeout(30min, [&] { c.receive(); }), deadline_exceeded);
      EXPECT_EQ(steady_clock::now(), epoch + 2h);
      ticker t(1min);
      for (int i = 1; i <= 10; ++i) EXPECT_EQ(t.receive(), epoch + 2h + i * 1min);
      EXPECT_EQ(select(on_receive(c, [](auto) {}), on_timeout(7s)), 1u);
      EXPECT_EQ(steady_clock::now(), epoch + 2h + 10min + 7s);
      mutex m;
      m.lock();
      EXPECT_FALSE(m.try_lock_for(1h));
      m.unlock();
      EXPECT_EQ(steady_clock::now(), epoch + 3h + 10min + 7s);
    });
    bubble([] { EXPECT_EQ(steady_clock::now(), epoch) << "each has a clock of its own"; });
    EXPECT_LT(steady_clock::now(), epoch) << "outside it is the real one";
  });
}

TEST_P(bubble_test, whatever_is_started_inside_belongs_to_it) {
  in_runtime([] {
    std::atomic<int> inside{0};
    bubble([&] {
      auto check = [&] {
        sleep_for(1h);
        EXPECT_GE(steady_clock::now(), epoch + 1h);
        EXPECT_LT(steady_clock::now(), epoch + 100h);
        ++inside;
      };
      auto t = go(check);
      go_detached(check);
      wait_group group;
      group.go(check);
      auto limited = derive_timeout(context::current(), 1min);
      auto called = after_func(limited.ctx, check);
      group.wait();
      t.join();
      sleep_for(2h);
    });
    EXPECT_EQ(inside, 4);
  });
}

TEST_P(bubble_test, a_deadlock_names_every_fiber) {
  in_runtime([] {
    const std::string channels = failure_of([] {
      channel<int> c;
      auto t = go({.name = "reader"}, [&] { c.receive(); });
      t.get();
    });
    EXPECT_NE(channels.find("deadlock"), std::string::npos) << channels;
    EXPECT_NE(channels.find("\"reader\": parked in channel receive"), std::string::npos) << channels;
    EXPECT_NE(channels.find("\"bubble\": parked in join of a task"), std::string::npos) << channels;
    EXPECT_NE(channels.find("bubble_test.cpp:"), std::string::npos) << channels;
    const std::string group = failure_of([] {
      wait_group g;
      g.add(1);
      g.wait();
    });
    EXPECT_NE(group.find("\"bubble\": parked in wait group"), std::string::npos) << group;
    const std::string ticking = failure_of([] {
      ticker t(1s);
      ticker faster(1ms);
      channel<int> c;
      c.receive();
    });
    EXPECT_NE(ticking.find("channel receive"), std::string::npos) << "ticks that nobody takes are no progress: " << ticking;
  });
}

TEST_P(bubble_test, who_is_left_behind_is_named_and_canceled) {
  in_runtime([] {
    bool unwound = false;
    const std::string leak = failure_of([&] {
      go_detached({.name = "forgotten"}, [&] {
        struct flag {
          bool& b;
          ~flag() { b = true; }
        } at_end{unwound};
        channel<int> c;
        c.receive();
      });
    });
    EXPECT_NE(leak.find("leak"), std::string::npos) << leak;
    EXPECT_NE(leak.find("\"forgotten\": parked in channel receive"), std::string::npos) << leak;
    EXPECT_TRUE(unwound);
    const std::string asleep = failure_of([] {
      go_detached([] { sleep_for(1s); });
      yield();
    });
    EXPECT_NE(asleep.find("parked in sleep"), std::string::npos) << "time stands still after the body's end: " << asleep;
  });
}

TEST_P(bubble_test, nobody_hides_from_the_end_of_the_bubble) {
  in_runtime([] {
    const std::string leak = failure_of([] {
      go_detached([] {
        const context_scope free(without_cancel(context::current()));
        channel<int> c;
        auto child = go([&] { c.receive(); });
        child.get();
      });
      go_detached([] {
        const context_scope free(context::background());
        sleep_for(1h);
      });
      yield();
    });
    EXPECT_NE(leak.find("leak"), std::string::npos) << leak;
  });
}

TEST_P(bubble_test, cleaning_up_may_take_time) {
  in_runtime([] {
    time_point ended;
    const std::string leak = failure_of([&] {
      go_detached([&] {
        struct slow {
          time_point& t;
          ~slow() {
            sleep_for(5s);
            t = steady_clock::now();
          }
        } at_end{ended};
        channel<int> c;
        c.receive();
      });
    });
    EXPECT_EQ(ended, epoch + 5s);
  });
}

TEST_P(bubble_test, what_leaves_the_body_leaves_the_bubble) {
  in_runtime([] {
    EXPECT_THROW(bubble([] { throw std::domain_error("mine"); }), std::domain_error);
    EXPECT_THROW(bubble([] {
                   go_detached([] { sleep_for(1h); });
                   throw std::domain_error("it says more than the leak");
                 }),
                 std::domain_error);
    EXPECT_THROW(bubble([] { bubble([] {}); }), misuse);
    EXPECT_THROW(bubble([] {
                   auto t = go([] { bubble([] {}); });
                   t.get();
                 }),
                 misuse);
  });
}

TEST_P(bubble_test, the_bodys_context_ends_with_it) {
  in_runtime([] {
    bool seen = false;
    bubble([&] {
      go_detached([&, ctx = context::current()] {
        select(on_done(ctx));
        seen = true;
      });
    });
    EXPECT_TRUE(seen);
  });
}

TEST_P(bubble_test, a_canceled_caller_cancels_its_bubble) {
  in_runtime([] {
    auto outer = derive_cancel(context::current());
    std::optional<cancel_handle> cancel(std::move(outer.cancel));
    const context_scope ambient(outer.ctx);
    bool unwound = false;
    EXPECT_THROW(bubble([&] {
                   channel<int> c;
                   blocking([&] { cancel->cancel(); });
                   try {
                     c.receive();
                   } catch (const canceled&) {
                     unwound = true;
                     throw;
                   }
                 }),
                 canceled);
    EXPECT_TRUE(unwound);
    EXPECT_THROW(bubble([] { ADD_FAILURE() << "canceled before"; }), canceled);
  });
}

TEST_P(bubble_test, time_waits_for_what_the_outside_does) {
  in_runtime([] {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    channel<int> outside;
    bubble([&] {
      auto asleep = go([] { sleep_for(1h); });
      yield();
      blocking([] { std::this_thread::yield(); });
      EXPECT_EQ(steady_clock::now(), epoch);
      auto poke = std::thread([&] {
        while (stats().parked == 0) std::this_thread::yield();
        EXPECT_EQ(write(ends[1], "x", 1), 1);
        outside.send(1);
      });
      wait_readable(ends[0]);
      EXPECT_EQ(steady_clock::now(), epoch);
      EXPECT_EQ(outside.receive(), 1);
      EXPECT_EQ(steady_clock::now(), epoch);
      blocking([&] { poke.join(); });
      asleep.join();
      EXPECT_EQ(steady_clock::now(), epoch + 1h);
    });
    close(ends[0]);
    close(ends[1]);
  });
}

TEST_P(bubble_test, a_timer_keeps_to_the_clock_that_it_was_made_under) {
  in_runtime([] {
    timer real(1h);
    std::optional<timer> escaped;
    bubble([&] {
      EXPECT_THROW(real.reset(1s), misuse);
      escaped.emplace(1h);
      EXPECT_EQ(stats().armed_timers, 1u);
    });
    EXPECT_THROW(escaped->reset(1s), misuse);
    EXPECT_FALSE(escaped->stop()) << "it ended with its bubble";
    EXPECT_TRUE(real.stop());
  });
}

TEST_P(bubble_test, bubbles_do_not_disturb_each_other) {
  in_runtime([this] {
    std::vector<party> parties;
    for (int p = 0; p < 8; ++p)
      parties.push_back(start([p] {
        for (std::size_t round = 0; round < scaled(100); ++round)
          bubble([&] {
            std::minstd_rand random(static_cast<unsigned>(round * 8 + static_cast<std::size_t>(p) + 1));
            channel<int> c(2);
            time_point latest = epoch;
            with_task_group([&](task_group& group) {
              for (int f = 0; f < 6; ++f) {
                const auto pause = std::chrono::milliseconds(random() % 50);
                latest = std::max(latest, epoch + 5 * pause);
                group.go([&c, pause] {
                  for (int i = 0; i < 5; ++i) {
                    sleep_for(pause);
                    c.send(i);
                  }
                });
              }
              for (int i = 0; i < 30; ++i) EXPECT_TRUE(c.receive().has_value());
            });
            EXPECT_EQ(steady_clock::now(), latest);
          });
      }));
    for (party& p : parties) p.join();
  });
}

}  // namespace
}  // namespace runnel::test
