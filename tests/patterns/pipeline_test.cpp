// Pipelines: nothing is lost, nothing comes twice, order is kept, nothing is left when the consumer leaves, and the first failure
// comes out once, as it was.
#include "../support/fixture.hpp"

#include <runnel/patterns/generate.hpp>
#include <runnel/patterns/pipeline.hpp>
#include <runnel/sync/barrier.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/testing/bubble.hpp>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class pipelines : public behaviour {};
RUNNEL_EVERY_CALLER(pipelines);

std::vector<int> first(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}
auto naturals() {
  return [i = 0]() mutable { return std::optional(i++); };
}
const auto same = [](int v) { return v; };

struct ends {
  std::atomic<int>& count;
  ~ends() { ++count; }
};

TEST_P(pipelines, a_stage_in_place_starts_nothing) {
  in_runtime([] {
    const auto before = stats().live_fibers;
    std::vector<int> seen;
    for (int v : from(first(20)) | map([](int v) { return v + 1; }) | filter([](const int& v) { return v % 2 == 0; }) |
                     flat_map([](int v) { return std::vector<int>{v, -v}; })) {
      seen.push_back(v);
      EXPECT_EQ(stats().live_fibers, before);
    }
    std::vector<int> expected;
    for (int v = 2; v <= 20; v += 2) expected.insert(expected.end(), {v, -v});
    EXPECT_EQ(seen, expected);
  });
}

TEST_P(pipelines, stages_give_the_same_wherever_they_are_done) {
  in_runtime([] {
    std::mt19937_64 random(seed());
    const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
    const auto some_options = [&](bool& ordered) {
      stage_options o;
      if (below(2)) o.workers = static_cast<std::size_t>(1 + below(4));
      if (below(2)) o.buffer = static_cast<std::size_t>(below(5));
      if (below(4) == 0) o.order = stage_order::as_ready;
      if (o.workers > 1 && o.order == stage_order::as_ready) ordered = false;
      return o;
    };
    for (std::size_t round = scaled(40); round-- > 0;) {
      const int n = below(200);
      const auto size = static_cast<std::size_t>(1 + below(7));
      bool ordered = true;
      const auto a = some_options(ordered), b = some_options(ordered), c = some_options(ordered);
      serial_options source, batches;
      if (below(2)) source.buffer = static_cast<std::size_t>(below(4));
      if (below(2)) batches.buffer = static_cast<std::size_t>(below(4));
      const auto grouped = from(first(n), source) | map([](int v) { return std::make_unique<int>(3 * v); }, a) |
                           filter([](const std::unique_ptr<int>& v) { return *v % 2 == 0; }, b) |
                           flat_map([](std::unique_ptr<int> v) { return std::vector<int>(static_cast<std::size_t>(*v % 4), *v); }, c) |
                           batch(size, batches) | collect();
      std::vector<int> expected, seen;
      for (int v = 0; v < n; ++v)
        if (3 * v % 2 == 0) expected.insert(expected.end(), static_cast<std::size_t>(3 * v % 4), 3 * v);
      for (std::size_t i = 0; i < grouped.size(); ++i) {
        EXPECT_TRUE(grouped[i].size() == size || (i + 1 == grouped.size() && !grouped[i].empty()));
        seen.insert(seen.end(), grouped[i].begin(), grouped[i].end());
      }
      if (!ordered) std::sort(seen.begin(), seen.end());
      EXPECT_EQ(seen, expected);
    }
  });
}

TEST_P(pipelines, sources_are_borrowed_by_name_and_owned_by_value) {
  in_runtime([] {
    std::vector<int> named = first(5);
    EXPECT_EQ(from(named) | collect(), first(5));
    EXPECT_EQ(named.size(), 5u);
    std::vector<std::unique_ptr<int>> owned;
    owned.push_back(std::make_unique<int>(7));
    const auto moved = from(std::move(owned)) | collect();
    EXPECT_EQ(*moved.at(0), 7);
    EXPECT_EQ(from([i = 0]() mutable { return i < 5 ? std::optional(i++) : std::nullopt; }) | collect(), first(5));
    EXPECT_EQ(from(generate<int>([](auto& out) {
                for (int i = 0; i < 5; ++i) out.send(i);
              })) | collect(),
              first(5));
    auto ends = make_channel<int>(5);
    for (int i = 0; i < 5; ++i) ends.tx.send(i);
    ends.tx = {};
    EXPECT_EQ(from(ends.rx) | drain(), 5u);
    std::vector<int> given;
    from(named) | for_each([&](int v) { given.push_back(v); });
    EXPECT_EQ(given, first(5));
  });
}

TEST_P(pipelines, values_have_to_be_movable_not_assignable) {
  in_runtime([] {
    const std::map<int, std::string> names{{1, "a"}, {2, "b"}, {3, "c"}};  // its entries have const keys
    const auto entry = [](auto e) { return e; };
    const auto not_first = [](const auto& e) { return e.first != 1; };
    std::string all;
    for (auto& [number, name] : from(names) | map(entry)) all += std::to_string(number) + name;
    EXPECT_EQ(all, "1a2b3c");
    for (const stage_order order : {stage_order::as_given, stage_order::as_ready})
      EXPECT_EQ((from(names) | map(entry, {.workers = 2, .order = order}) |
                 filter(not_first, {.buffer = 1}) | drain()), 2u);
    const auto batches = from(names) | map(entry, {.workers = 2}) | batch(2, 1h) | collect();
    ASSERT_EQ(batches.size(), 2u);
    EXPECT_EQ(batches[1][0].second, "c");
  });
}

TEST_P(pipelines, so_many_workers_call_the_function_at_once) {
  in_runtime([] {
    for (const auto order : {stage_order::as_given, stage_order::as_ready})
      bubble([&] {
        const time_point start = steady_clock::now();
        EXPECT_EQ(from(first(40)) | map([](int v) { return sleep_for(1h), v; }, {.workers = 4, .order = order}) | drain(), 40u);
        EXPECT_EQ(steady_clock::now(), start + 10h);
      });
  });
}

TEST_P(pipelines, a_buffer_lets_a_stage_run_beside_its_reader) {
  in_runtime([] {
    bubble([] {
      const auto hour = [](int v) { return sleep_for(1h), v; };
      const auto hours_of = [](auto&& p) {
        const time_point start = steady_clock::now();
        for ([[maybe_unused]] int v : p) sleep_for(1h);
        return duration::between(start, steady_clock::now()).nanoseconds() / 1h;
      };
      const auto source = [&] { return [&, i = 0]() mutable { return i < 5 ? std::optional(hour(i++)) : std::nullopt; }; };
      EXPECT_EQ(hours_of(from(source())), 10) << "in place: one after the other";
      EXPECT_EQ(hours_of(from(source(), {.buffer = 1})), 6);
      EXPECT_EQ(hours_of(from(first(5)) | map(hour)), 10);
      EXPECT_EQ(hours_of(from(first(5)) | map(hour, {.buffer = 1})), 6);
      EXPECT_EQ(hours_of(from(first(5)) | map(hour, {.buffer = 0})), 6) << "it holds one itself";
    });
  });
}

TEST_P(pipelines, results_come_as_given_or_as_ready) {
  in_runtime([] {
    bubble([] {
      const auto run = [](stage_order order) {
        const auto first_is_late = [](int i) { return sleep_for(i == 0 ? 1h : 0h), i; };
        return from(first(6)) | map(first_is_late, {.workers = 2, .order = order}) | collect();
      };
      EXPECT_EQ(run(stage_order::as_given), first(6));
      EXPECT_EQ(run(stage_order::as_ready), (std::vector<int>{1, 2, 3, 4, 5, 0}));
    });
  });
}

TEST_P(pipelines, a_late_result_holds_no_worker_up_until_the_buffer_is_full) {
  in_runtime([this] {
    event go_on;
    std::atomic<int> done{0};
    auto p = from(naturals()) | map([&](int v) {
               if (v == 0) go_on.wait();
               ++done;
               return v;
             }, {.workers = 3, .buffer = 5});
    auto reader = start([&] {
      for (int v : p)
        if (v == 20) break;
    });
    while (done < 7) yield();
    until_waiting(4);
    EXPECT_EQ(done, 7) << "3 + 5 are under way, and 0 is late";
    go_on.set();
    reader.join();
  });
}

TEST_P(pipelines, who_does_not_read_stops_everything_above) {
  in_runtime([this] {
    struct {
      std::atomic<int> source{0}, mapped{0};
    } n;
    auto p = from([&] { return std::optional(++n.source); }, {.buffer = 3}) | map([&](int v) {
               ++n.mapped;
               return v;
             }, {.buffer = 2}) | throttle([] {}, {.buffer = 1}) | batch(1, {.buffer = 1});
    event leave;
    auto reader = start([&] {
      for (auto& v : p) {
        EXPECT_EQ(v.size(), 1u);
        leave.wait();
        break;
      }
    });
    while (n.source < 12 || n.mapped < 8) yield();
    until_waiting(5);
    // One at the reader; a batch waits and one is held; one before it and one held; 2 and 1; 3 and 1.
    EXPECT_EQ(n.mapped, 1 + 2 + 2 + 3);
    EXPECT_EQ(n.source, n.mapped + 4);
    leave.set();
    reader.join();
  });
}

TEST_P(pipelines, leaving_early_ends_everything_at_once) {
  in_runtime([] {
    const auto before = stats().live_fibers;
    std::atomic<int> ended{0};
    auto ends_of = make_channel<int>();
    auto sender = go([tx = std::move(ends_of.tx)] {
      for (int i = 0;; ++i) tx.send(i);
    });
    auto p = from(std::move(ends_of.rx), {.buffer = 4}) | map([&](int v) {
               const ends e{ended};
               if (v == 3) sleep_for(1h);
               return v;
             }, {.workers = 2, .order = stage_order::as_ready});
    for (int v : p)
      if (v == 5) break;
    EXPECT_GE(ended, 1);
    try {
      sender.get();
    } catch (const channel_closed&) {  // although p is still there
    }
    EXPECT_EQ(stats().live_fibers, before);
    const auto find = [&] {
      for (int v : from(naturals()) | map(same, {.buffer = 2}) | map(same, {.workers = 3}))
        if (v == 50) return v;
      return 0;
    };
    EXPECT_EQ(find(), 50);
    EXPECT_EQ(stats().live_fibers, before);
    try {
      for (int v : from(naturals()) | map(same, {.buffer = 2})) {
        if (v == 5) throw std::out_of_range("5");
      }
      ADD_FAILURE();
    } catch (const std::out_of_range&) {
    }
    EXPECT_EQ(stats().live_fibers, before);
  });
}

std::atomic<int> unhandled{0};
void count_unhandled(std::exception_ptr, fiber_info) noexcept { ++unhandled; }

TEST_P(pipelines, a_failure_anywhere_comes_out_once_as_it_was_and_tells_its_stage) {
  in_runtime([] {
    unhandled = 0;
    const auto previous = set_unhandled_hook(&count_unhandled);
    struct boom : std::runtime_error {
      using std::runtime_error::runtime_error;
    };
    const char* const names[] = {"from", "parse", "filter", "flat_map", "batch", "throttle", "consumer"};
    for (const stage_options o : {stage_options{}, stage_options{.buffer = 1}, stage_options{.workers = 3},
                                  stage_options{.workers = 3, .order = stage_order::as_ready}}) {
      for (unsigned at : {0u, 1u, 2u, 3u, 5u, 6u}) {
        const auto fail_at = [&, at](unsigned stage, int v) {
          if (stage == at && v == 20) throw boom("at 20");
        };
        stage_options named = o;
        named.name = "parse";
        std::atomic<int> paced{0};
        auto p = from([&, i = 0]() mutable {
                   fail_at(0, ++i);
                   return std::optional(i);
                 }) |
                 map([&](int v) { return fail_at(1, v), v; }, named) | filter([&](const int& v) { return fail_at(2, v), true; }, o) |
                 flat_map([&](int v) { return fail_at(3, v), std::vector<int>{v}; }, o) | batch(2, {.buffer = o.buffer}) |
                 throttle([&] { fail_at(5, ++paced); });
        int seen = 0;
        try {
          p.for_each([&](const std::vector<int>&) { fail_at(6, ++seen); });
          ADD_FAILURE() << "stage " << at;
        } catch (const boom& e) {
          EXPECT_STREQ(e.what(), "at 20");
        }
        EXPECT_TRUE(seen <= 20 || o.order == stage_order::as_ready) << "it went on past the failure: " << seen;
        ASSERT_TRUE(p.failed_stage());
        EXPECT_EQ(p.failed_stage()->number, at);
        EXPECT_EQ(p.failed_stage()->name, names[at]);
      }
    }
    set_unhandled_hook(previous);
    EXPECT_EQ(unhandled, 0) << "it came out more than once";
  });
}

TEST_P(pipelines, a_failure_cancels_what_blocks_elsewhere_the_consumer_too) {
  in_runtime([] {
    event both;
    auto p = from(first(2)) | map([&](int v) {
               if (v == 0) {
                 both.wait();
                 throw std::out_of_range("0");
               }
               return v;
             }, {.workers = 2, .order = stage_order::as_ready}) |
             map(same, {.buffer = 1});
    EXPECT_THROW(p.for_each([&](int) {
      both.set();
      sleep_for(1h);
    }), std::out_of_range);
    EXPECT_EQ(p.failed_stage()->number, 1u);
  });
}

TEST_P(pipelines, no_value_that_a_failure_cut_off_is_taken_for_a_whole) {
  in_runtime([] {
    for (std::size_t round = scaled(200); round-- > 0;) {
      auto p = from([i = 0]() mutable {
                 if (i == 3) throw std::out_of_range("3");
                 return std::optional(i++);
               }, {.buffer = 8}) |
               batch(10, {.buffer = 1});
      EXPECT_THROW(p.for_each([](const std::vector<int>&) { ADD_FAILURE() << "a batch of what came before"; }), std::out_of_range);
    }
  });
}

TEST_P(pipelines, cancellation_and_time_limits_are_those_of_the_caller) {
  in_runtime([] {
    bubble([] {
      auto p = from(naturals()) | map([](int v) {
                 sleep_for(1s);
                 return v;
               }, {.workers = 2});
      std::vector<int> seen;
      EXPECT_THROW(with_timeout(10500ms, [&] { p.for_each([&](int v) { seen.push_back(v); }); }), deadline_exceeded);
      EXPECT_EQ(seen, first(20));
      EXPECT_FALSE(p.failed_stage()) << "a time limit from outside is no failure of a stage";

      auto own_limit = from(first(3)) | map([](int v) { return with_timeout(1s, [v] { return sleep_for(1h), v; }); }, {.buffer = 1});
      EXPECT_THROW(own_limit.drain(), deadline_exceeded);
      EXPECT_EQ(own_limit.failed_stage()->number, 1u);
    });
    auto c = derive_cancel(context::current());
    const context_scope scope(c.ctx);
    int count = 0;
    auto in_place = from(naturals()) | filter([&](const int&) { return ++count == 1000 ? (c.cancel.cancel(), false) : false; });
    EXPECT_THROW(in_place.drain(), canceled);
    EXPECT_FALSE(in_place.failed_stage());
  });
}

TEST_P(pipelines, a_time_limit_around_one_step_of_the_iterator_is_observed_by_the_wait_for_a_stage) {
  in_runtime([] {
    bubble([] {
      const auto slow = [](int v) { return sleep_for(2h), v; };
      const std::vector<stage_options> last{{.buffer = 0}, {.buffer = 1}, {.workers = 2}, {.workers = 2, .order = stage_order::as_ready}};
      for (const stage_options& where : last) {
        auto p = from(first(3), {.buffer = 1}) | map(slow, where);
        auto i = p.begin();
        EXPECT_LT(*i, 2);  // of two that are ready either may come
        if (where.workers == 2) ++i;  // the second is ready as well
        const time_point before = steady_clock::now();
        EXPECT_THROW(with_timeout(1h, [&] { ++i; }), deadline_exceeded);
        EXPECT_EQ(steady_clock::now(), before + 1h);
        EXPECT_FALSE(p.failed_stage());
      }
    });
  });
}

TEST_P(pipelines, what_a_stage_in_place_starts_outlives_the_context_around_one_step) {
  in_runtime([] {
    auto p = from(first(2), {.buffer = 1}) | flat_map([](int v) {
               return generate<int>([v](auto& out) {
                 for (int i = 0; i < 3; ++i) out.send(10 * v + i);
               });
             });
    std::vector<int> seen;
    for (auto i = p.begin(); i != std::default_sentinel; with_timeout(1h, [&] { ++i; })) seen.push_back(*i);
    EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 10, 11, 12}));
  });
}

struct brittle {
  explicit brittle(int v) : value(v) {}
  brittle(brittle&& o) : value(o.value) {
    if (value == 5 && --moves_left == 0) throw std::runtime_error("brittle");
  }
  int value;
  static inline int moves_left = 0;  ///< of the fifth; by the consumer alone
};

TEST_P(pipelines, a_value_that_throws_while_it_is_handed_over_ends_the_stages_above) {
  in_runtime([] {
    bubble([] {
      int thrown = 0;
      for (brittle::moves_left = 1; brittle::moves_left > 0; ++thrown) {
        const int nth = brittle::moves_left;
        std::atomic<int> made = 0;
        auto p = from([&] { return sleep_for(1min), std::optional(++made); }, {.buffer = 64}) | map([](int v) { return brittle(v); });
        const auto read = [&] {
          for (auto& v : p)
            if (v.value == 6) return;
        };
        try {
          read();
          break;  // it is not moved so often
        } catch (const std::runtime_error&) {
        }
        const int before = made;
        sleep_for(1h);
        EXPECT_EQ(made, before);
        for (const auto& s : p.stats()) EXPECT_EQ(s.workers, 0u);
        brittle::moves_left = nth + 1;
      }
      EXPECT_GT(thrown, 1);
    });
  });
}

TEST_P(pipelines, a_context_that_is_given_to_the_terminal_ends_every_stage) {
  in_runtime([] {
    bubble([] {
      const auto slow = [](int v) { return sleep_for(1s), v; };
      auto limited = derive_timeout(context::background(), 10500ms);
      int seen = 0;
      const auto see = [&](int) { ++seen; };
      EXPECT_THROW(from(naturals()) | map(slow, {.workers = 2}) | for_each(limited.ctx, see), deadline_exceeded);
      EXPECT_EQ(seen, 20);
      EXPECT_THROW(from(naturals()) | map(slow) | collect(limited.ctx), canceled);
      EXPECT_THROW(from(naturals()) | map(slow, {.buffer = 1}) | drain(limited.ctx), canceled);
      const context endless = context::background();
      EXPECT_EQ(from(first(3)) | map(slow) | collect(endless), first(3));
      EXPECT_EQ(from(first(3)) | map(slow, {.workers = 3}) | drain(endless), 3u);
    });
  });
}

TEST_P(pipelines, stages_see_the_values_of_the_callers_context) {
  in_runtime([] {
    static constexpr context_key<int> key;
    const context_scope scope(derive_value(context::current(), key, 7));
    const auto seen = from(first(3)) | map([](int) { return *context::current().value(key); }, {.workers = 2}) | collect();
    EXPECT_EQ(seen, (std::vector<int>{7, 7, 7}));
  });
}

TEST_P(pipelines, a_batch_goes_when_it_is_full_old_or_the_last) {
  in_runtime([] {
    bubble([] {
      const time_point start = steady_clock::now();
      std::vector<std::pair<std::size_t, std::chrono::nanoseconds>> seen;
      auto p = from([i = 0]() mutable -> std::optional<int> {
                 if (i == 6) return std::nullopt;
                 if (i == 3) sleep_for(100ms);  // after 0 1 2
                 if (i == 4) sleep_for(30ms);   // 3, 4 and then 5 are younger than 50 ms
                 return i++;
               }) |
               batch(4, 50ms);
      for (auto& b : p) seen.emplace_back(b.size(), steady_clock::now() - start);
      EXPECT_EQ(seen, (decltype(seen){{3, 50ms}, {3, 130ms}}));
      const auto full = from(first(10), {.buffer = 10}) | batch(4, 50ms, {.buffer = 2}) | collect();
      EXPECT_EQ(full.size(), 3u);
      for (auto& b : from(naturals(), {.buffer = 4}) | batch(1'000'000, 0s)) {
        EXPECT_LE(b.size(), 5u) << "values keep coming, and the first is old";
        if (b.back() > 200) break;
      }
      const auto behind_workers = from(first(7)) | map([](int v) { return v == 5 ? (sleep_for(1s), v) : v; }, {.workers = 2}) |
                                  batch(10, 50ms) | collect();
      EXPECT_EQ(behind_workers, (std::vector<std::vector<int>>{{0, 1, 2, 3, 4}, {5, 6}}));
    });
  });
}

TEST_P(pipelines, a_throttle_spaces_values_and_pays_nothing_back) {
  in_runtime([] {
    bubble([] {
      const time_point start = steady_clock::now();
      std::vector<std::chrono::nanoseconds> seen;
      auto p = from([i = 0]() mutable {
                 if (i == 2) sleep_for(1s);
                 return i < 5 ? std::optional(i++) : std::nullopt;
               }) |
               throttle(10, 1s);
      for ([[maybe_unused]] int v : p) seen.push_back(steady_clock::now() - start);
      EXPECT_EQ(seen, (decltype(seen){0ms, 100ms, 1100ms, 1200ms, 1300ms}));
    });
    struct limiter {
      int waits = 0;
      void wait() { ++waits; }
    } limit;
    EXPECT_EQ(from(first(5)) | throttle(limit) | drain(), 5u);
    EXPECT_EQ(limit.waits, 5);
    int calls = 0;
    EXPECT_EQ(from(first(5)) | throttle([&] { ++calls; }, {.buffer = 2, .name = "pace"}) | drain(), 5u);
    EXPECT_EQ(calls, 5);
  });
}

TEST_P(pipelines, counters_tell_while_it_runs_where_it_waits) {
  in_runtime([this] {
    event leave;
    std::atomic<int> inside{0};
    auto p = from(naturals(), {.buffer = 2, .name = "numbers"}) | map(same) | map([&](int v) {
               if (v >= 4) {
                 ++inside;
                 sleep_for(1h);
               }
               return v;
             }, {.workers = 3, .order = stage_order::as_ready, .name = "slow"}) |
             filter([](const int& v) { return v != 1; });
    EXPECT_EQ(p.stats().at(2).workers, 0u) << "it has not begun";
    auto c = derive_cancel(context::current());
    auto reader = start([&] {
      const context_scope scope(c.ctx);
      p.drain();
    });
    while (inside < 3 || p.stats()[0].out < 10 || p.stats()[3].in < 4) yield();
    until_waiting(5);
    const auto s = p.stats();
    ASSERT_EQ(s.size(), 4u);
    EXPECT_EQ(s[0].name, "numbers");
    EXPECT_EQ(s[0].handing_over, 1u) << "its buffer is full";
    EXPECT_EQ(s[0].out, 4u + 3 + 2 + 1);
    EXPECT_EQ(s[1].name, "map");
    EXPECT_EQ(s[1].out, 7u);
    EXPECT_EQ(s[2].name, "slow");
    EXPECT_EQ(s[2].number, 2u);
    EXPECT_EQ(s[2].workers, 3u);
    EXPECT_EQ(s[2].busy, 3u);
    EXPECT_EQ(s[2].in, 7u);
    EXPECT_EQ(s[2].out, 4u);
    EXPECT_EQ(s[3].in, 4u);
    EXPECT_EQ(s[3].out, 3u);
    EXPECT_EQ(s[3].waiting, 1u);
    c.cancel();
    EXPECT_THROW(reader.join(), canceled);
  });
}

TEST_P(pipelines, a_pipeline_runs_once_and_wrong_options_are_misuse) {
  in_runtime([] {
    auto p = from(first(3)) | map(same, {.buffer = 1});
    EXPECT_EQ(p.drain(), 3u);
    EXPECT_THROW(static_cast<void>(p.drain()), misuse);
    EXPECT_THROW(static_cast<void>(p.begin()), misuse);
    EXPECT_THROW(auto q = std::move(p), misuse);
    auto moved = from(first(3));
    EXPECT_EQ((std::move(moved) | map(same) | drain()), 3u);
    EXPECT_THROW(moved.collect(), misuse);
    EXPECT_THROW(moved.stats(), misuse);
    auto last = from(first(3)) | map(same, {.workers = 2});
    auto taken = std::move(last);
    EXPECT_THROW(last.begin(), misuse);
    EXPECT_EQ(taken.drain(), 3u);
    EXPECT_THROW(static_cast<void>(from(first(3)) | map(same, {.workers = 0})), misuse);
    const auto too_many = static_cast<std::size_t>(semaphore::max()) - 1;
    for (const std::size_t buffer : {too_many, ~std::size_t{0}})
      EXPECT_THROW(static_cast<void>(from(first(3)) | map(same, {.workers = 2, .buffer = buffer})), misuse);
    EXPECT_THROW(static_cast<void>(from(first(3)) | map(same, {.workers = ~std::size_t{0}})), misuse);
    EXPECT_THROW(from(first(3)) | map(same, {.workers = 2, .buffer = too_many - 1}) | drain(), std::length_error);
    EXPECT_THROW(static_cast<void>(from(first(3)) | batch(0)), misuse);
    EXPECT_THROW(static_cast<void>(throttle(0, 1s)), misuse);
  });
}

}  // namespace
}  // namespace runnel::test
