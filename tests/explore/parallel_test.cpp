// Fork-join in many orders of events: parts begin and end in any order, wait for each other, fail and are canceled.
#include "explored.hpp"

#include <runnel/patterns/parallel.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/shared_var.hpp>

#include <array>
#include <stdexcept>
#include <string>

namespace runnel::test {
namespace {

TEST(explored_parallel, what_parts_did_is_seen_behind_the_call_and_what_was_before_it_in_them) {
  holds_in(2'000, [] {
    shared_var<int> before, a, b;
    before.store(1);
    parallel_invoke([&] { a.store(before.load() + 1); }, [&] { b.store(before.load() + 2); });
    require(a.load() == 2 && b.load() == 3, "not seen");
  });
}

#if !defined(RUNNEL_TSAN)  // it would find it first, and end the test
TEST(explored_parallel, parts_that_share_a_variable_race) {
  const auto r = explore({.schedules = scaled(2'000)}, [] {
    shared_var<int> plain;
    parallel_for_each(std::array{1, 2}, [&](int i) { plain.store(i); }, {.grain = 1});
  });
  EXPECT_TRUE(r.failed && r.verdict == verdict::race) << r.trace;
}
#endif

TEST(explored_parallel, parts_begin_in_any_order) {
  bool in_order = false, reversed = false;
  holds_in(500, [&] {
    channel<int> order(2);
    parallel_invoke([&] { order.send(1); }, [&] { order.send(2); });
    (order.receive() == 1 ? in_order : reversed) = true;
  });
  EXPECT_TRUE(in_order && reversed);
}

TEST(explored_parallel, results_are_those_of_a_loop) {
  holds_in(2'000, [] {
    const std::array<int, 5> v{1, 2, 3, 4, 5};
    const auto digits = [](int i) {
      yield();
      return std::to_string(i);
    };
    require(parallel_reduce(v, std::string("0"), std::plus<>(), digits, {.grain = 1}) == "012345", "order");
    require(parallel_transform(v, digits, {.grain = 2})[4] == "5", "order");
  });
}

TEST(explored_parallel, parts_that_wait_for_each_other_all_end) {
  holds_in(3'000, [] {
    channel<int> there, back;
    const auto [sum, sent] = parallel_invoke(
        [&] {
          there.send(1);
          return back.receive().value_or(0);
        },
        [&] {
          const int got = there.receive().value_or(0);
          back.send(got + 1);
          return got;
        });
    require(sum == 2 && sent == 1, "values");
  });
}

TEST(explored_parallel, a_failure_ends_those_that_wait_and_leaves_nothing_behind) {
  holds_in(5'000, [] {
    channel<int> empty;
    bool thrown = false;
    try {
      parallel_invoke([&] { empty.receive(); },
                      [&] { parallel_invoke([&] { empty.receive(); }, [] { throw std::runtime_error("inner"); }); },
                      [&] {
                        const auto inner = derive_cancel(context::current());
                        const context_scope scope(inner.ctx);
                        empty.receive();
                      });
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    require(thrown, "what failed first comes out");
    this_fiber::checkpoint();  // the caller is not canceled
  });
}

TEST(explored_parallel, a_caller_that_is_canceled_gets_canceled_when_all_have_ended) {
  holds_in(3'000, [] {
    auto limited = derive_cancel(context::current());
    auto canceler = go([&] { limited.cancel(); });
    int inside = 0;
    try {
      const context_scope scope(limited.ctx);
      channel<int> empty;
      shared_var<int> parts[2];
      parallel_for_each(std::array{0, 1}, [&](int i) {
        parts[i].store(1);
        empty.receive();
      }, {.grain = 1});
    } catch (const canceled&) {
      inside = 1;
    }
    require(inside == 1, "it waits for ever, else");
    canceler.get();
  });
}

TEST(explored_parallel, a_deadlock_of_parts_names_them) {
  const auto r = explore({.schedules = scaled(500)}, [] {
    channel<int> a, b;
    parallel_invoke([&] { a.receive(); }, [&] { b.receive(); });
  });
  EXPECT_TRUE(r.failed && r.verdict == verdict::deadlock);
  EXPECT_NE(r.trace.find("channel receive"), std::string::npos) << r.trace;
}

}  // namespace
}  // namespace runnel::test
