// Fork-join: results, failures, cancellation, waiting, and who runs what.
#include "support/fixture.hpp"

#include <runnel/patterns/parallel.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/sync/latch.hpp>
#include <runnel/testing/bubble.hpp>

#include <atomic>
#include <forward_list>
#include <list>
#include <memory>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class parallel_test : public behaviour {};
RUNNEL_EVERY_CALLER(parallel_test);
/// From fibers only.
class parallel_in_fibers : public behaviour {};
RUNNEL_EVERY_WIDTH(parallel_in_fibers);

std::vector<int> numbers(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}

// ---- results -----------------------------------------------------------------------------------------------------

TEST_P(parallel_test, invoke_returns_what_the_functions_do_in_their_order) {
  in_runtime([] {
    int kept = 5;
    auto [a, b, c, d] = parallel_invoke([] { return 1; }, [] { return std::make_unique<std::string>("two"); },
                                        [&]() -> int& { return kept; }, [] {});
    EXPECT_EQ(a, 1);
    EXPECT_EQ(*b, "two");
    EXPECT_EQ(&c, &kept);
    static_assert(std::is_same_v<decltype(d), unit>);
    static_assert(std::is_void_v<decltype(parallel_invoke([] {}, [] {}))>);
    std::atomic<int> ran{0};
    parallel_invoke([&] { ++ran; });
    parallel_invoke([&] { ++ran; }, [&] { ++ran; }, [&] { ++ran; });
    EXPECT_EQ(ran, 4);
    std::unique_ptr<int> moved = std::make_unique<int>(6);
    auto consumes = [p = std::move(moved)]() mutable { return std::move(p); };
    EXPECT_EQ(*std::get<0>(parallel_invoke(std::move(consumes), [] {})), 6);
  });
}

TEST_P(parallel_test, for_each_calls_it_for_every_element_once_whatever_the_range_and_grain) {
  in_runtime([] {
    for (const std::size_t grain : {0u, 1u, 3u, 1000u}) {
      for (const int n : {0, 1, 2, 100}) {
        std::vector<std::atomic<int>> times(static_cast<std::size_t>(n));
        const auto count = [&](int i) { ++times[static_cast<std::size_t>(i)]; };
        const std::vector<int> v = numbers(n);
        parallel_for_each(v, count, {.grain = grain});
        parallel_for_each(v.begin(), v.end(), count, {.grain = grain});
        parallel_for_each(std::list<int>(v.begin(), v.end()), count, {.grain = grain});
        for (const auto& t : times) EXPECT_EQ(t, 3);
      }
    }
    std::vector<int> changed = numbers(50);
    parallel_for_each(changed, [](int& i) { i *= 2; });
    EXPECT_EQ(changed[49], 98);
  });
}

TEST_P(parallel_test, transform_keeps_the_order_whatever_it_makes) {
  in_runtime([] {
    const std::vector<int> v = numbers(100);
    const std::vector<std::unique_ptr<int>> owned =
        parallel_transform(v, [](int i) { return std::make_unique<int>(i * i); }, {.grain = 1});
    ASSERT_EQ(owned.size(), 100u);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(*owned[static_cast<std::size_t>(i)], i * i);
    const std::vector<bool> odd = parallel_transform(v, [](int i) { return i % 2 == 1; }, {.grain = 1});
    for (int i = 0; i < 100; ++i) EXPECT_EQ(odd[static_cast<std::size_t>(i)], i % 2 == 1);
    const std::forward_list<int> few{3, 1, 2};
    EXPECT_EQ(parallel_transform(few.begin(), few.end(), [](int i) { return i + 1; }), (std::vector<int>{4, 2, 3}));
    EXPECT_TRUE(parallel_transform(std::vector<int>(), [](int i) { return i; }).empty());
  });
}

#if !defined(__clang__) || __clang_major__ >= 16  // with which the views of libstdc++ do not compile before
TEST_P(parallel_test, a_range_may_be_a_view_whatever_its_distances_are) {
  in_runtime([] {
    std::vector<std::atomic<int>> times(100);
    parallel_for_each(std::views::iota(std::size_t{0}, times.size()), [&](std::size_t i) { ++times[i]; }, {.grain = 1});
    for (const auto& t : times) EXPECT_EQ(t, 1);
    const auto wide = std::views::iota(std::int64_t{0}, std::int64_t{100});  // distances of 128 bits
    const auto squares = parallel_transform(wide, [](std::int64_t i) { return i * i; }, {.grain = 1});
    for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(squares[i], static_cast<std::int64_t>(i * i));
    EXPECT_EQ(parallel_reduce(wide, std::int64_t{1}, std::plus<>()), 4951);
    const std::vector<int> v = numbers(100);
    const auto odd = [](int i) { return i % 2 == 1; };
    EXPECT_EQ(parallel_reduce(v | std::views::filter(odd) | std::views::transform(std::negate<>()), 0, std::plus<>()),
              -2500);
    // Halved by the distance, not by steps, down to the first failure.
    const auto huge = std::views::iota(std::int64_t{0}, std::int64_t{10'000'000'000'000'000});
    EXPECT_THROW(parallel_for_each(huge, [](std::int64_t) { throw std::runtime_error("first"); }, {.grain = 1}),
                 std::runtime_error);
  });
}
#endif

TEST_P(parallel_test, reduce_keeps_the_order_and_begins_with_init) {
  in_runtime([] {
    const std::vector<int> v = numbers(300);
    std::string expected = "start";
    for (int i : v) expected += std::to_string(i);
    for (const std::size_t grain : {0u, 1u, 7u, 1000u})
      EXPECT_EQ(parallel_reduce(v, std::string("start"), std::plus<>(), [](int i) { return std::to_string(i); }, {.grain = grain}),
                expected);
    EXPECT_EQ(parallel_reduce(v.begin(), v.end(), 1L, std::plus<>()), 1 + 299 * 300 / 2);
    EXPECT_EQ(parallel_reduce(std::list<int>{4, 5}, 3, std::plus<>()), 12);
    EXPECT_EQ(parallel_reduce(std::vector<int>(), 3, std::plus<>()), 3);
    const auto add = [](std::unique_ptr<int> a, std::unique_ptr<int> b) {
      *a += *b;
      return a;
    };
    const auto own = [](int i) { return std::make_unique<int>(i); };
    EXPECT_EQ(*parallel_reduce(v, std::make_unique<int>(1), add, own), 1 + 299 * 300 / 2) << "what only moves";
    EXPECT_EQ(*parallel_reduce(std::vector<int>(), std::make_unique<int>(1), add, own), 1);
  });
}

// ---- options -----------------------------------------------------------------------------------------------------

TEST_P(parallel_in_fibers, a_grain_of_one_lets_neighbours_wait_for_each_other) {
  in_runtime([] {
    bubble([] {  // which ends with an error where they cannot
      std::vector<event> came(64);
      const auto meet = [&](int i) {
        const auto even = static_cast<std::size_t>(i - i % 2);
        if (i % 2 == 0) came[even].wait();
        if (i % 2 == 1) came[even].set();
        return i;
      };
      const auto again = [&] {
        for (event& e : came) e.reset();
      };
      parallel_for_each(numbers(64), meet, {.grain = 1});
      again();
      parallel_transform(numbers(64), meet, {.grain = 1});
      again();
      parallel_reduce(numbers(64), 0, std::plus<>(), meet, {.grain = 1});
    });
  });
}

TEST_P(parallel_in_fibers, a_grain_as_large_as_the_range_is_one_part) {
  in_runtime([] {
    bubble([] {
      const auto me = this_fiber::get_id();
      const time_point start = steady_clock::now();
      const auto takes_an_hour = [&](int i) {
        EXPECT_EQ(this_fiber::get_id(), me);
        sleep_for(1h);
        return i;
      };
      parallel_for_each(numbers(64), takes_an_hour, {.grain = 64});
      EXPECT_EQ(steady_clock::now(), start + 64h);
      parallel_transform(numbers(64), takes_an_hour, {.grain = 64});
      EXPECT_EQ(steady_clock::now(), start + 128h);
      parallel_reduce(numbers(64), 0, std::plus<>(), takes_an_hour, {.grain = 64});
      EXPECT_EQ(steady_clock::now(), start + 192h);
    });
  });
}

TEST_P(parallel_in_fibers, without_a_grain_a_range_is_split_by_the_workers) {
  in_runtime([] {
    bubble([] {
      const time_point start = steady_clock::now();
      parallel_for_each(numbers(64), [](int) { sleep_for(1h); });
      // Eight parts a worker, which all wait at the same time.
      EXPECT_EQ(steady_clock::now(), start + 64h / (8 * GetParam().workers));
    });
  });
}

TEST_P(parallel_in_fibers, reports_name_the_parts_and_what_the_caller_waits_for) {
  in_runtime([] {
    const auto report_of = [](const auto& call) {
      try {
        bubble([&] {
          event never_set;
          const auto stuck = [&](int i) {
            if (i != 0) never_set.wait();
            return i;
          };
          call(stuck, parallel_options{.grain = 1, .name = "crunch"});
        });
      } catch (const bubble_error& e) {
        return std::string(e.what());
      }
      return std::string("it has ended");
    };
    for (const std::string& report :
         {report_of([](const auto& f, const auto& options) { parallel_for_each(numbers(3), f, options); }),
          report_of([](const auto& f, const auto& options) { parallel_transform(numbers(3), f, options); }),
          report_of([](const auto& f, const auto& options) { parallel_reduce(numbers(3), 0, std::plus<>(), f, options); })}) {
      EXPECT_NE(report.find("\"crunch\""), std::string::npos) << report;
      EXPECT_NE(report.find("fork-join"), std::string::npos) << report;
      EXPECT_NE(report.find("parallel_test.cpp"), std::string::npos) << report;
    }
  });
}

// ---- failures ----------------------------------------------------------------------------------------------------

TEST_P(parallel_test, the_first_failure_comes_out_when_all_have_ended) {
  in_runtime([] {
    for (std::size_t round = scaled(200); round-- > 0;) {
      std::atomic<int> inside{0};
      struct stay {  // ends by an exception too: what has begun is canceled
        explicit stay(std::atomic<int>& n) : inside(n) { ++inside; }
        ~stay() { --inside; }
        std::atomic<int>& inside;
      };
      const auto part = [&](int i) {
        const stay here(inside);
        if (i == 7) throw std::runtime_error("seven");
        yield();
      };
      EXPECT_THROW(parallel_for_each(numbers(20), part, {.grain = 1}), std::runtime_error);
      EXPECT_EQ(inside, 0);
    }
    EXPECT_THROW(parallel_transform(numbers(5), [](int i) -> int { throw i; }), int);
    EXPECT_THROW(parallel_reduce(numbers(5), 0, [](int, int) -> int { throw 1; }), int);
    EXPECT_THROW(parallel_invoke([] {}, [] { throw 1; }), int);
  });
}

TEST(parallel_alone, parts_that_have_not_begun_are_skipped) {
  run({.workers = 1}, [] {
    std::vector<int> ran;
    EXPECT_THROW(parallel_for_each(numbers(20), [&](int i) {
      ran.push_back(i);
      if (i == 5) throw i;
    }, {.grain = 1}), int);
    EXPECT_EQ(ran, numbers(6));
    bool skipped = true;
    EXPECT_THROW(parallel_invoke([] { throw 1; }, [&] { skipped = false; }), int);
    EXPECT_TRUE(skipped);
  });
}

TEST(parallel_alone, nothing_is_allocated_and_no_fiber_started_where_nobody_takes_a_part) {
  run({.workers = 1}, [] {
    const std::vector<int> v = numbers(1000);
    long sum = 0;
    const std::uint64_t before = allocations_made();
    parallel_for_each(v, [&](int i) {
      sum += i;
      EXPECT_EQ(stats().live_fibers, 1u);
    }, {.grain = 1});
    const auto [a, b] = parallel_invoke([&] { return sum; }, [&] { return sum + 1; });
    EXPECT_EQ(allocations_made(), before);
    EXPECT_EQ(a + 1, b);
    EXPECT_EQ(sum, 999 * 1000 / 2);
  });
}

TEST_P(parallel_test, a_failure_cancels_the_part_in_which_the_caller_waits) {
  in_runtime([] {
    channel<int> empty;
    EXPECT_THROW(parallel_invoke([&] { empty.receive(); }, [] { throw std::runtime_error("second"); }), std::runtime_error);
    EXPECT_THROW(parallel_invoke([&] { with_timeout(1h, [&] { empty.receive(); }); }, [] { throw std::runtime_error("second"); }),
                 std::runtime_error);
    EXPECT_THROW(parallel_invoke([&] { for (;;) yield(); }, [] { throw std::runtime_error("second"); }), std::runtime_error);
    empty.close();  // the caller itself is as it was
    EXPECT_FALSE(empty.receive());
    this_fiber::checkpoint();
  });
}

TEST_P(parallel_test, a_failure_of_the_caller_cancels_parts_that_run_elsewhere) {
  in_runtime([] {
    channel<int> empty;
    event begun;
    EXPECT_THROW(parallel_invoke(
                     [&] {
                       begun.wait();
                       throw std::runtime_error("first");
                     },
                     [&] {
                       begun.set();
                       empty.receive();
                     }),
                 std::runtime_error);
  });
}

TEST_P(parallel_test, a_failure_that_is_caught_inside_cancels_nobody_outside) {
  in_runtime([] {
    channel<int> values;
    const auto [got, caught] = parallel_invoke(
        [&] { return values.receive(); },
        [&] {
          bool thrown = false;
          try {
            channel<int> empty;
            parallel_invoke([&] { empty.receive(); }, [] { throw 1; });
          } catch (int) {
            thrown = true;
          }
          values.send(3);
          return thrown;
        });
    EXPECT_EQ(got, 3);
    EXPECT_TRUE(caught);
  });
}

// ---- cancellation ------------------------------------------------------------------------------------------------

TEST_P(parallel_test, a_canceled_caller_begins_nothing) {
  in_runtime([] {
    auto limited = derive_cancel(context::current());
    limited.cancel();
    const context_scope scope(limited.ctx);
    bool ran = false;
    EXPECT_THROW(parallel_invoke([&] { ran = true; }), canceled);
    EXPECT_THROW(parallel_for_each(numbers(3), [&](int) { ran = true; }), canceled);
    EXPECT_THROW(parallel_transform(numbers(3), [&](int) { return ran = true; }), canceled);
    EXPECT_THROW(parallel_reduce(numbers(3), 0, [&](int, int) { return ran = true; }), canceled);
    EXPECT_FALSE(ran);
  });
}

TEST_P(parallel_test, a_context_that_is_given_counts_besides_the_ambient_one) {
  in_runtime([this] {
    auto given = derive_cancel(context::background());
    const auto r = parallel_invoke(given.ctx, [] { return 1; }, [] { return 2; });
    EXPECT_EQ(std::get<0>(r) + std::get<1>(r), 3);
    std::atomic<int> sum{0};
    parallel_for_each(given.ctx, numbers(4), [&](int v) { sum += v; });
    EXPECT_EQ(parallel_transform(given.ctx, numbers(3), [](int v) { return v; }), numbers(3));
    EXPECT_EQ(parallel_reduce(given.ctx, numbers(4), 0, std::plus<>()), sum);
    channel<int> empty;
    auto canceler = start([&] {
      until_waiting(1);
      given.cancel();
    });
    try {
      parallel_for_each(given.ctx, numbers(3), [&](int) { empty.receive(); }, {.grain = 1});
      ADD_FAILURE() << "was not canceled";
    } catch (const canceled& c) {
      EXPECT_EQ(c.origin(), given.ctx);
    }
    canceler.join();
    bool ran = false;
    EXPECT_THROW(parallel_invoke(given.ctx, [&] { ran = true; }), canceled);
    EXPECT_THROW(parallel_transform(given.ctx, numbers(3), [&](int) { return ran = true; }), canceled);
    EXPECT_THROW(parallel_reduce(given.ctx, numbers(3), 0, [&](int, int) { return ran = true; }), canceled);
    EXPECT_FALSE(ran);
  });
}

TEST_P(parallel_test, a_cancellation_ends_it_between_grains_and_where_a_part_waits) {
  in_runtime([this] {
    auto limited = derive_cancel(context::current());
    const context_scope scope(limited.ctx);
    std::atomic<int> ran{0};
    const auto tenth_cancels = [&](int) {
      const int number = ++ran;
      if (number == 10) limited.cancel();
      while (number > 10 && !limited.ctx.is_canceled()) std::this_thread::yield();  // and keeps its worker until then
    };
    EXPECT_THROW(parallel_for_each(numbers(1000), tenth_cancels, {.grain = 1}), canceled);
    EXPECT_LT(ran, 10 + static_cast<int>(2 * GetParam().workers)) << "one on each other worker, and at most one more";
    {
      auto again = derive_cancel(context::background());
      const context_scope inner(again.ctx);
      channel<int> empty;
      auto canceler = start([&] {
        until_waiting(1);
        again.cancel();
      });
      EXPECT_THROW(parallel_invoke([&] { empty.receive(); }, [&] { empty.receive(); }), canceled);
      const cancel_shield shield;
      canceler.join();
    }
  });
}

TEST_P(parallel_test, parts_inherit_the_context) {
  in_runtime([] {
    const context_key<int> key;
    const context_scope scope(derive_value(context::current(), key, 42));
    event begun;
    const auto value = [&] {
      const int* v = context::current().value(key);
      return v ? *v : 0;
    };
    const auto [a, b] = parallel_invoke(
        [&] {
          begun.wait();  // so that the other one is run by somebody else
          return value();
        },
        [&] {
          begun.set();
          return value();
        });
    EXPECT_EQ(a, 42);
    EXPECT_EQ(b, 42);
  });
}

TEST_P(parallel_test, under_a_shield_nothing_is_canceled_from_outside) {
  in_runtime([] {
    auto limited = derive_cancel(context::current());
    limited.cancel();
    const context_scope scope(limited.ctx);
    const cancel_shield shield;
    channel<int> c;
    const auto [sent, got] = parallel_invoke([&] { c.send(1); return true; }, [&] { return c.receive(); });
    EXPECT_TRUE(sent);
    EXPECT_EQ(got, 1);
  });
}

// ---- who runs what -----------------------------------------------------------------------------------------------

TEST_P(parallel_test, parts_may_wait_for_each_other_either_way) {
  in_runtime([] {
    channel<int> c;
    EXPECT_EQ(std::get<0>(parallel_invoke([&] { return c.receive(); }, [&] { c.send(1); })), 1);
    EXPECT_EQ(std::get<1>(parallel_invoke([&] { c.send(2); }, [&] { return c.receive(); })), 2);
    event third;
    parallel_invoke([&] { third.wait(); }, [&] { third.wait(); }, [&] { third.set(); });
    latch all(64);
    parallel_for_each(numbers(64), [&](int) { all.arrive_and_wait(); }, {.grain = 1});
  });
}

TEST_P(parallel_test, parts_run_on_fibers_wherever_the_caller_is) {
  in_runtime([this] {
    const bool here = this_fiber::in_fiber();
    EXPECT_EQ(here, !from_threads());
    const auto [a, b] = parallel_invoke([] { return this_fiber::in_fiber(); }, [] { return this_fiber::in_fiber(); });
    EXPECT_TRUE(a && b);
  });
}

long tree_sum(long from, long to, bool waits) {
  if (to - from == 1) {
    if (waits && from % 3 == 0) yield();
    if (waits && from % 64 == 0) sleep_for(1us);
    return from;
  }
  const long middle = (from + to) / 2;
  const auto [a, b] = parallel_invoke([=] { return tree_sum(from, middle, waits); }, [=] { return tree_sum(middle, to, waits); });
  return a + b;
}

TEST_P(parallel_test, a_tree_whose_leaves_wait_now_and_then_adds_up) {
  in_runtime([] {
    for (std::size_t round = scaled(10); round-- > 0;) {
      const auto n = static_cast<long>(scaled(4000));
      EXPECT_EQ(tree_sum(0, n, true), n * (n - 1) / 2);
      EXPECT_EQ(tree_sum(0, n, false), n * (n - 1) / 2);
    }
  });
}

TEST_P(parallel_test, many_trees_at_once_share_the_workers) {
  in_runtime([] {
    const auto n = static_cast<long>(scaled(1000));
    std::vector<party> all;
    for (int i = 0; i < 8; ++i)
      all.push_back(start([n] {
        for (int k = 0; k < 4; ++k) EXPECT_EQ(tree_sum(0, n, k % 2 == 0), n * (n - 1) / 2);
      }));
    for (party& p : all) p.join();
  });
}

/// One branch more than the deque of a worker holds, and many more.
long chain(long depth, bool waits) {
  if (depth == 0) return 0;
  const auto [rest, one] = parallel_invoke([=] { return chain(depth - 1, waits); },
                                           [=] {
                                             if (waits && depth % 16 == 0) yield();
                                             return 1L;
                                           });
  return rest + one;
}

TEST_P(parallel_test, a_recursion_deeper_than_any_deque_loses_no_branch) {
  in_runtime([] {
    const long depth = static_cast<long>(scaled(300));
    for (std::size_t round = scaled(20); round-- > 0;) {
      EXPECT_EQ(chain(depth, false), depth);
      EXPECT_EQ(chain(depth, true), depth);
    }
  });
}

TEST_P(parallel_in_fibers, it_runs_in_a_bubble_in_virtual_time) {
  in_runtime([] {
    bubble([] {
      const time_point began = steady_clock::now();
      parallel_for_each(numbers(10), [](int) { sleep_for(1h); }, {.grain = 1});
      EXPECT_EQ(steady_clock::now() - began, 1h) << "all at the same time";
    });
  });
}

}  // namespace
}  // namespace runnel::test
