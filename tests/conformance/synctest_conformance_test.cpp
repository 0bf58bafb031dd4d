// Bubbles of virtual time, in the cases of Go's own tests of testing/synctest.
#include "support/fixture.hpp"

#include <runnel/testing/bubble.hpp>

#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class synctest_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(synctest_conformance);

template <class F>
std::string failure_of(F body) {
  try {
    bubble(body);
  } catch (const bubble_error& e) {
    return e.what();
  }
  return "no bubble_error";
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST_P(synctest_conformance, synctest_01_time_starts_at_a_fixed_instant_and_moves_exactly) {
  in_runtime([] {
    std::vector<time_point> starts;
    for (int i = 0; i < 2; ++i)
      bubble([&] {
        const time_point start = steady_clock::now();
        starts.push_back(start);
        auto child = go([] { return steady_clock::now(); });
        EXPECT_EQ(child.get(), start);
        sleep_for(1s);
        EXPECT_EQ(steady_clock::now() - start, 1s);
        auto later = go([] { return steady_clock::now(); });
        EXPECT_EQ(later.get() - start, 1s);
      });
    EXPECT_EQ(starts[0], starts[1]);
  });
}

TEST_P(synctest_conformance, synctest_01_neighbour_the_wall_clock_follows) {
  in_runtime([] {
    bubble([] {
      const std::chrono::system_clock::time_point year_2000{std::chrono::seconds(946'684'800)};
      const time_point start = steady_clock::now();
      const auto limited = derive_deadline(context::current(), year_2000 + 3s);
      EXPECT_EQ(select(on_done(limited.ctx), on_timeout(1h)), 0u);
      EXPECT_EQ(steady_clock::now() - start, 3s);
    });
  });
}

TEST_P(synctest_conformance, synctest_03_a_reset_counts_from_its_instant) {
  in_runtime([] {
    bubble([] {
      const time_point start = steady_clock::now();
      timer t(1s);
      EXPECT_EQ(t.receive().value() - start, 1s);
      EXPECT_FALSE(t.reset(2s));
      EXPECT_EQ(t.receive().value() - start, 3s);
      EXPECT_FALSE(t.reset(3s));
      sleep_for(1s);
      EXPECT_TRUE(t.reset(3s)) << "while it runs";
      EXPECT_EQ(t.receive().value() - start, 7s);
    });
  });
}

TEST_P(synctest_conformance, synctest_03_neighbour_a_stopped_timer_lets_time_pass_by) {
  in_runtime([] {
    bubble([] {
      const time_point start = steady_clock::now();
      timer t(1s);
      EXPECT_TRUE(t.stop());
      EXPECT_EQ(t.receive_for(5s).status, channel_status::timed_out);
      EXPECT_EQ(steady_clock::now() - start, 5s);
      t.reset(1s);
      sleep_for(1s);
      EXPECT_TRUE(t.stop()) << "fired and not taken";
      EXPECT_EQ(t.try_receive().status, channel_status::would_block);
    });
  });
}

TEST_P(synctest_conformance, synctest_05_who_waits_for_the_outside_is_not_idle) {
  in_runtime([this] {
    channel<int> c, acknowledged(1);
    auto outside = start([&] {
      for (int i = 0; i < 2; ++i) EXPECT_EQ(c.receive(), i);  // send; send as a case of select
      for (int i = 2; i < 4; ++i) c.send(i);                  // receive; receive as a case of select
      acknowledged.receive();
      c.close();  // a range that ends
    });
    bubble([&] {
      const time_point start_of_time = steady_clock::now();
      auto asleep = go([] { sleep_for(1h); });
      c.send(0);
      select(on_send(c, 1));
      EXPECT_EQ(c.receive(), 2);
      select(on_receive(c, [](std::optional<int> v) { EXPECT_EQ(v, 3); }));
      acknowledged.send(0);
      for (int v : c) ADD_FAILURE() << v;
      EXPECT_EQ(steady_clock::now(), start_of_time);
      asleep.join();
    });
    outside.join();
  });
}

TEST_P(synctest_conformance, synctest_05_neighbour_who_waits_inside_is_idle) {
  in_runtime([] {
    bubble([] {
      channel<int> c;
      const time_point start_of_time = steady_clock::now();
      auto late = go([&] {
        sleep_for(1h);
        c.send(1);
      });
      EXPECT_EQ(c.receive(), 1);
      EXPECT_EQ(steady_clock::now() - start_of_time, 1h);
    });
  });
}

TEST_P(synctest_conformance, synctest_07_what_hangs_is_a_deadlock) {
  in_runtime([] {
    const std::string root = failure_of([] { select(); });
    EXPECT_TRUE(contains(root, "\"bubble\": parked in select")) << root;
    const std::string child = failure_of([] { go_detached({.name = "child"}, [] { select(); }); });
    EXPECT_TRUE(contains(child, "\"child\": parked in select")) << child;
    const std::string only_a_ticker = failure_of([] {
      go_detached({.name = "child"}, [] {
        ticker t(1s);
        for (time_point tick : t) {
          static_cast<void>(tick);
          ADD_FAILURE() << "time goes on after the body's end";
        }
      });
    });
    EXPECT_TRUE(contains(only_a_ticker, "\"child\": parked in channel receive")) << only_a_ticker;
  });
}

TEST_P(synctest_conformance, synctest_07_neighbour_what_waits_for_a_timer_does_not) {
  in_runtime([] {
    bubble([] {
      go_detached([] {
        ticker t(1s);
        for (int i = 0; i < 3; ++i) t.receive();
      });
      sleep_for(1min);
    });
  });
}

/// Plain memory: ThreadSanitizer is the judge.
TEST_P(synctest_conformance, synctest_09_the_clock_orders_memory) {
  in_runtime([] {
    bubble([] {
      int v = 0;
      go_detached([&] { ++v; });
      sleep_for(1ns);  // everybody else has ended or is blocked
      go_detached([&] { ++v; });
      sleep_for(1ns);
      ++v;
      channel<int> c;
      go_detached([&] {
        ++v;
        c.receive();
      });
      sleep_for(1ns);
      ++v;
      c.close();
      sleep_for(1ns);
      auto limited = derive_timeout(context::current(), 1s);
      auto callback = after_func(limited.ctx, [&] {
        ++v;
        sleep_for(1s);
        ++v;
      });
      sleep_for(500ms);
      ++v;
      sleep_for(1s);
      ++v;
      sleep_for(1s);
      ++v;
      EXPECT_EQ(v, 10);
    });
  });
}

TEST_P(synctest_conformance, synctest_09_neighbour_ticks_order_it_too) {
  in_runtime([] {
    bubble([] {
      int v = 0;
      auto odd = go([&] {
        for (int i = 0; i < 10; ++i) {
          ++v;
          sleep_for(2s);
        }
      });
      timer first(1s);
      first.receive();
      ticker even(2s);
      for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(v, 2 * i + 1);
        ++v;
        even.receive();
      }
      odd.join();
    });
  });
}

TEST_P(synctest_conformance, synctest_11_the_bodys_context_ends_with_it) {
  in_runtime([] {
    bool finished = false;
    bubble([&] {
      const context ctx = context::current();
      EXPECT_FALSE(ctx.is_canceled());
      go_detached([&finished, ctx] {
        select(on_done(ctx));
        for (int i = 0; i < 10; ++i) yield();
        finished = true;
      });
    });
    EXPECT_TRUE(finished);
  });
}

TEST_P(synctest_conformance, synctest_11_neighbour_also_when_it_fails) {
  in_runtime([] {
    bool finished = false;
    EXPECT_THROW(bubble([&] {
                   go_detached([&finished, ctx = context::current()] {
                     select(on_done(ctx));
                     finished = true;
                   });
                   throw std::domain_error("failed");
                 }),
                 std::domain_error);
    EXPECT_TRUE(finished);
  });
}

TEST_P(synctest_conformance, waitgroup_04_a_group_of_the_outside_holds_the_clock) {
  in_runtime([this] {
    wait_group group;
    group.add(1);
    channel<int> begun(1);
    auto outside = start([&] {
      begun.receive();
      group.done();
    });
    bubble([&] {
      const time_point start_of_time = steady_clock::now();
      auto asleep = go([] { sleep_for(1h); });
      begun.send(1);
      group.wait();
      EXPECT_EQ(steady_clock::now(), start_of_time);
      asleep.join();
    });
    outside.join();
  });
}

TEST_P(synctest_conformance, waitgroup_04_neighbour_one_of_the_inside_does_not) {
  in_runtime([] {
    bubble([] {
      const time_point start_of_time = steady_clock::now();
      wait_group group;
      for (int i = 1; i <= 3; ++i) group.go([i] { sleep_for(i * 1h); });
      group.wait();
      EXPECT_EQ(steady_clock::now() - start_of_time, 3h);
    });
  });
}

}  // namespace
}  // namespace runnel::test
