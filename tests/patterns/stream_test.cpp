// generate, fan_out, merge, tee: every value arrives once, nothing that produces outlives its stream, failures are not mere ends.
#include "../support/fixture.hpp"

#include <runnel/debug/dump_fibers.hpp>
#include <runnel/patterns/fan_out.hpp>
#include <runnel/patterns/generate.hpp>
#include <runnel/patterns/merge.hpp>
#include <runnel/patterns/tee.hpp>
#include <runnel/sync/barrier.hpp>
#include <runnel/testing/bubble.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <list>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class streams : public behaviour {};
RUNNEL_EVERY_CALLER(streams);

/// Sets a flag when it goes.
struct ends {
  std::atomic<int>& count;
  ~ends() { ++count; }
};

auto naturals(stream_options options = {}) {
  return generate<int>(
      [](auto& out) {
        for (int i = 0;; ++i) out.send(i);
      },
      options);
}
std::vector<int> first(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}
template <class Stream>
auto all_of(Stream&& s) {
  std::vector<typename std::remove_cvref_t<Stream>::value_type> all;
  for (auto& v : s) all.push_back(std::move(v));
  return all;
}
template <class Stream>
std::vector<int> sorted(Stream&& s) {
  std::vector<int> all;
  for (auto& v : s) all.push_back(v);
  std::sort(all.begin(), all.end());
  return all;
}

// ---- generate --------------------------------------------------------------------------------------------------

TEST_P(streams, what_is_sent_is_received_in_order_and_then_the_end) {
  in_runtime([] {
    auto s = generate<std::unique_ptr<int>>([](auto& out) {
      for (int i = 0; i < 100; ++i) out.send(std::make_unique<int>(i));
    });
    for (int i = 0; i < 100; ++i) EXPECT_EQ(**s.receive(), i);
    EXPECT_FALSE(s.receive());
    EXPECT_FALSE(s.receive()) << "again";
    EXPECT_EQ(s.try_receive().status, channel_status::closed);
  });
}

TEST_P(streams, a_producer_ends_with_its_stream_wherever_it_is) {
  in_runtime([] {
    std::atomic<int> ended{0};
    {
      auto sending = generate<int>([&](auto& out) {
        const ends e{ended};
        for (int i = 0;; ++i) out.send(i);
      });
      auto sleeping = generate<int>([&](auto&) {
        const ends e{ended};
        sleep_for(1h);
      });
      for (int v : sending)
        if (v == 10) break;
      EXPECT_EQ(sending.receive(), 11) << "leaving the loop has ended nothing yet";
    }
    EXPECT_EQ(ended, 2);
    auto replaced = generate<int>([&](auto& out) {
      const ends e{ended};
      for (;;) out.send(1);
    });
    EXPECT_EQ(replaced.receive(), 1);
    replaced = generate<int>([](auto& out) { out.send(2); });
    EXPECT_EQ(ended, 3);
    EXPECT_EQ(replaced.receive(), 2);
  });
}

TEST_P(streams, a_failure_comes_after_the_values_before_it_and_every_time) {
  in_runtime([] {
    auto s = generate<int>([](auto& out) {
      for (int i = 0; i < 5; ++i) out.send(i);
      throw std::runtime_error("page 6");
    });
    for (int i = 0; i < 5; ++i) EXPECT_EQ(s.receive(), i);
    EXPECT_THROW(s.receive(), std::runtime_error);
    EXPECT_THROW(s.receive(), std::runtime_error);
    EXPECT_THROW(s.receive_for(1h), std::runtime_error);
    EXPECT_THROW(s.try_receive(), std::runtime_error);
    int out[1];
    EXPECT_THROW(s.receive_n(out), std::runtime_error);
    EXPECT_EQ(select(on_receive(s, [](std::optional<int> v) { EXPECT_FALSE(v); })), 0u);
  });
}

TEST_P(streams, a_producer_that_was_canceled_by_others_is_no_clean_end) {
  in_runtime([] {
    auto limited = derive_cancel(context::current());
    auto s = [&] {
      const context_scope scope(limited.ctx);
      return generate<int>([](auto& out) {
        out.send(1);
        sleep_for(1h);
      });
    }();
    EXPECT_EQ(s.receive(), 1);
    limited.cancel();
    EXPECT_THROW(s.receive(), canceled);
  });
}

TEST_P(streams, a_closed_channel_of_somebody_else_is_a_failure) {
  in_runtime([] {
    channel<int> other(1);
    other.close();
    auto s = generate<int>([&](auto&) { other.send(1); });
    EXPECT_THROW(s.receive(), channel_closed);
  });
}

TEST_P(streams, as_many_values_wait_as_the_buffer_holds) {
  in_runtime([this] {
    std::atomic<int> sent{0};
    auto s = generate<int>(
        [&](auto& out) {
          for (;;) {
            out.send(0);
            ++sent;
          }
        },
        {.buffer = 3, .name = "counting"});
    until_waiting(1);
    EXPECT_EQ(sent, 3);
    EXPECT_NE(fiber_report().find("\"counting\""), std::string::npos);
    EXPECT_EQ(s.size(), 3u);
    EXPECT_THROW(static_cast<void>(naturals({.buffer = 0})), misuse);
  });
}

TEST_P(streams, a_canceled_receive_takes_nothing) {
  in_runtime([] {
    auto s = generate<int>([](auto& out) {
      for (int i = 0; i < 3; ++i) out.send(i);
    });
    EXPECT_EQ(s.receive(), 0);
    auto c = derive_cancel(context::current());
    c.cancel();
    EXPECT_THROW(s.receive(c.ctx), canceled);
    EXPECT_EQ(s.receive(), 1);
    EXPECT_EQ(s.receive_for(1h).value, 2);
    EXPECT_EQ(s.receive_for(1h).status, channel_status::closed);
  });
}

// ---- fan_out ---------------------------------------------------------------------------------------------------

TEST_P(streams, each_value_is_worked_on_once_from_any_source) {
  in_runtime([] {
    const int n = static_cast<int>(scaled(1'000));
    const auto twice = [](int v) { return 2 * v; };
    std::vector<int> numbers = first(n), expected;
    for (int v : numbers) expected.push_back(2 * v);
    EXPECT_EQ(sorted(fan_out(numbers, 4, twice)), expected);
    EXPECT_EQ(sorted(fan_out(first(n), 4, twice)), expected);
    EXPECT_EQ(sorted(fan_out([i = 0, n]() mutable { return i < n ? std::optional(i++) : std::nullopt; }, 4, twice)), expected);
    EXPECT_EQ(sorted(fan_out(generate<int>([n](auto& out) {
                               for (int i = 0; i < n; ++i) out.send(i);
                             }),
                             4, twice)),
              expected);
    auto ends = make_channel<int>(8);
    auto sender = go([tx = std::move(ends.tx), n] {
      for (int i = 0; i < n; ++i) tx.send(i);
    });
    EXPECT_EQ(sorted(fan_out(std::move(ends.rx), 4, twice)), expected);
    sender.join();
    std::vector<std::unique_ptr<int>> owned;
    for (int i = 0; i < 10; ++i) owned.push_back(std::make_unique<int>(i));
    EXPECT_EQ(sorted(fan_out(std::move(owned), 3, [](std::unique_ptr<int> p) { return *p; })), first(10));
  });
}

TEST_P(streams, so_many_workers_are_at_work_and_no_more) {
  in_runtime([] {
    bubble([] {
      const time_point start = steady_clock::now();
      EXPECT_EQ(sorted(fan_out(first(30), 3, [](int v) { return sleep_for(1h), v; })), first(30));
      EXPECT_EQ(steady_clock::now(), start + 10h);
    });
    EXPECT_THROW(static_cast<void>(fan_out(first(3), 0, [](int v) { return v; })), misuse);
  });
}

TEST_P(streams, workers_stop_when_nobody_reads_and_end_when_the_reader_leaves) {
  in_runtime([this] {
    std::atomic<int> begun{0};
    auto s = fan_out(naturals(), 2,
                     [&](int v) {
                       ++begun;
                       return v;
                     },
                     {.buffer = 4, .name = "worker"});
    while (begun < 6) yield();
    until_waiting(3);
    EXPECT_EQ(begun, 6) << "4 wait, 2 workers have one each";
    EXPECT_NE(fiber_report().find("\"worker\""), std::string::npos);
    for ([[maybe_unused]] int v : s) break;
  });
}

TEST_P(streams, the_failure_of_one_worker_ends_the_others) {
  in_runtime([] {
    std::atomic<int> ended{0};
    auto s = fan_out(first(100), 4, [&](int v) -> int {
      const ends e{ended};
      if (v == 3) throw std::out_of_range("3");
      sleep_for(1h);
      return v;
    });
    EXPECT_THROW(all_of(s), std::out_of_range);
    EXPECT_EQ(ended, 4);
  });
}

// ---- merge -----------------------------------------------------------------------------------------------------

TEST_P(streams, a_merge_brings_everything_and_each_source_in_its_order) {
  in_runtime([] {
    const auto part = [](int from, int to) {
      return generate<int>([from, to](auto& out) {
        for (int i = from; i < to; ++i) out.send(i);
      });
    };
    std::vector<int> named = {200, 201, 202};
    auto all = all_of(merge({.buffer = 2}, part(0, 100), part(100, 200), named));
    std::vector<int> low, high;
    for (int v : all) (v < 100 ? low : high).push_back(v);
    EXPECT_EQ(low, first(100));
    EXPECT_TRUE(std::is_sorted(high.begin(), std::remove_if(high.begin(), high.end(), [](int v) { return v >= 200; })));
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all, first(203));
    std::vector<stream<int, spsc>> many;
    for (int i = 0; i < 5; ++i) many.push_back(part(10 * i, 10 * i + 10));
    EXPECT_EQ(sorted(merge(std::move(many))), first(50));
    EXPECT_TRUE(all_of(merge(std::vector<stream<int>>())).empty());
  });
}

TEST_P(streams, a_merge_takes_any_range_of_ends) {
  in_runtime([] {
    const auto sum = [](auto all) {
      int n = 0;
      for (int v : all) n += v;
      return n;
    };
    const std::vector<int> v{1, 2, 3};
    EXPECT_EQ(sum(merge(tee(v))), 12) << "an array of streams";
    EXPECT_EQ(sum(merge(tee<3>(v), {.buffer = 1})), 18);
    auto ends = make_channel<int>(3);
    const std::list<receive_channel<int>> by_name(2, ends.rx);
    for (int i : v) ends.tx.send(i);
    ends.tx = {};
    EXPECT_EQ(sum(merge(by_name)), 6);
    EXPECT_EQ(by_name.size(), 2u);
    EXPECT_EQ(by_name.front().receive(), std::nullopt) << "they are still there";
#if !defined(__clang__) || __clang_major__ >= 16  // views of libstdc++
    EXPECT_EQ(sum(merge(v | std::views::transform([](int n) {
                          return generate<int>([n](auto& out) { out.send(10 * n); });
                        }))),
              60)
        << "made on the way";
#endif
    auto few = make_channel<int>(3);
    for (int i : v) few.tx.send(i);
    few.tx = {};
    const std::vector<receive_channel<int>> one(1, few.rx);
    const context ctx = context::background();
    auto merged = merge(one, {.buffer = 1});
    std::array<int, 4> out{};
    EXPECT_EQ(merged.receive_n(ctx, out), 3u);
    EXPECT_EQ(out, (std::array<int, 4>{1, 2, 3, 0}));
    auto gone = derive_cancel(ctx);
    gone.cancel.cancel();
    EXPECT_THROW(merged.receive_n(gone.ctx, out), canceled);
  });
}

TEST_P(streams, a_merge_ends_its_sources_and_fails_with_the_first) {
  in_runtime([this] {
    std::atomic<int> ended{0};
    const auto endless = [&] {
      return generate<int>([&](auto& out) {
        const ends e{ended};
        for (;;) out.send(1);
      });
    };
    for ([[maybe_unused]] int v : merge(endless(), endless())) break;
    EXPECT_EQ(ended, 2);
    auto s = merge(endless(), generate<int>([](auto& out) {
                     out.send(2);
                     throw std::out_of_range("2");
                   }));
    EXPECT_THROW(all_of(s), std::out_of_range);
    EXPECT_EQ(ended, 3);
    const auto check = [this](auto bounded) {
      while (bounded.size() < 5) yield();
      until_waiting(2);
      EXPECT_EQ(bounded.size(), 5u);
      EXPECT_NE(fiber_report().find("\"merging\""), std::string::npos);
    };
    check(merge({.buffer = 5, .name = "merging"}, naturals()));
    std::vector<stream<int, spsc>> sources;
    sources.push_back(naturals());
    check(merge(std::move(sources), {.buffer = 5, .name = "merging"}));
  });
}

// ---- tee -------------------------------------------------------------------------------------------------------

TEST_P(streams, every_branch_of_a_tee_brings_everything_in_order) {
  in_runtime([] {
    auto two = tee(first(100));
    auto reader = start([&] { EXPECT_EQ(all_of(two[1]), first(100)); });
    EXPECT_EQ(all_of(two[0]), first(100));
    reader.join();
    auto five = tee(first(10), 5);
    EXPECT_EQ(five.size(), 5u);
    for (auto& s : five) EXPECT_EQ(all_of(s), first(10));
    auto one = tee<1>(first(3));
    EXPECT_EQ(all_of(one[0]), first(3));
    EXPECT_THROW(static_cast<void>(tee(first(3), 0)), misuse);
    EXPECT_THROW(static_cast<void>(tee(first(3), {.buffer = 0})), misuse);
  });
}

TEST_P(streams, the_slowest_branch_holds_a_tee_up_until_it_leaves) {
  in_runtime([this] {
    std::atomic<int> ended{0};
    auto both = tee(generate<int>([&](auto& out) {
                      const ends e{ended};
                      for (int i = 0;; ++i) out.send(i);
                    }),
                    {.buffer = 4, .name = "splitting"});
    while (both[1].size() < 4) yield();
    until_waiting(2);
    EXPECT_NE(fiber_report().find("\"splitting\""), std::string::npos);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(both[0].receive(), i);
    EXPECT_LE(both[0].size(), 1u);
    {
      auto slow = std::move(both[1]);
      EXPECT_EQ(slow.size(), 4u);
    }
    for (int i = 4; i < 100; ++i) EXPECT_EQ(both[0].receive(), i);
    EXPECT_EQ(ended, 0);
    { auto last = std::move(both[0]); }
    EXPECT_EQ(ended, 1);
  });
}

TEST_P(streams, every_branch_meets_the_failure_of_the_source) {
  in_runtime([] {
    auto both = tee(generate<int>([](auto& out) {
      out.send(1);
      throw std::out_of_range("1");
    }));
    for (auto& s : both) {
      EXPECT_EQ(s.receive(), 1);
      EXPECT_THROW(s.receive(), std::out_of_range);
    }
  });
}

}  // namespace
}  // namespace runnel::test
