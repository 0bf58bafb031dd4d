// cache: loaded once, good for a time, forgotten in time; and what happens to those who come meanwhile.
#include "support/failing_allocation.hpp"
#include "support/fixture.hpp"

#include <runnel/patterns/cache.hpp>
#include <runnel/testing/bubble.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class cache_laws : public behaviour {
 protected:
  /// Runs body in virtual time.
  void in_bubble(const std::function<void()>& body) {
    in_runtime([&] { bubble(body); });
  }
};
RUNNEL_EVERY_CALLER(cache_laws);

using cache_of_int = cache<std::string, int>;
int unexpected_load() {
  ADD_FAILURE() << "loaded";
  return 0;
}

TEST_P(cache_laws, a_value_is_loaded_once_and_good_for_its_time) {
  in_bubble([] {
    cache_of_int c({.ttl = 10s});
    int loads = 0;
    const auto load = [&] { return ++loads; };
    EXPECT_EQ(c.get_or_load("a", load), 1);
    sleep_for(10s - 1ns);
    EXPECT_EQ(c.get_or_load("a", load), 1);
    EXPECT_EQ(c.peek("a"), 1);
    sleep_for(1ns);
    EXPECT_EQ(c.peek("a"), std::nullopt);
    EXPECT_EQ(c.get_or_load("a", load), 2);
    EXPECT_EQ(c.size(), 1u);
    c.put("b", 7);
    sleep_for(10s - 1ns);
    EXPECT_EQ(c.peek("b"), 7);
    sleep_for(1ns);
    EXPECT_EQ(c.peek("b"), std::nullopt) << "what was put is good as long";
    cache_of_int forever;
    EXPECT_EQ(forever.get_or_load("a", load), 3);
    sleep_for(24h * 10'000);
    EXPECT_EQ(forever.get_or_load("a", unexpected_load), 3);
  });
}

TEST_P(cache_laws, a_stampede_loads_once) {
  in_runtime([this] {
    cache_of_int c;
    channel<unit> gate;
    std::atomic<int> loads{0};
    std::vector<party> parties;
    for (int n = 0; n < 8; ++n)
      parties.push_back(start([&] {
        EXPECT_EQ(c.get_or_load("a",
                                [&] {
                                  gate.receive();
                                  return ++loads;
                                }),
                  1);
      }));
    until_waiting(8);
    gate.close();
    for (party& p : parties) p.join();
    EXPECT_EQ(loads, 1);
    EXPECT_EQ(c.get_or_load("a", unexpected_load), 1);
    const cache_stats s = c.stats();
    EXPECT_EQ(s.misses, 8);
    EXPECT_EQ(s.hits, 1);
    EXPECT_EQ(s.loads, 1);
  });
}

TEST_P(cache_laws, it_keeps_so_many_and_forgets_what_was_not_used_for_the_longest_time) {
  in_runtime([] {
    cache_of_int c({.capacity = 3});
    for (const char* k : {"a", "b", "c"}) c.put(k, k[0]);
    EXPECT_EQ(c.get_or_load("a", unexpected_load), 'a');
    c.put("d", 'd');
    EXPECT_EQ(c.size(), 3u);
    EXPECT_EQ(c.peek("b"), std::nullopt);
    for (const char* k : {"a", "c", "d"}) EXPECT_EQ(c.peek(k), k[0]);
    c.put("c", 'C');
    EXPECT_EQ(c.size(), 3u) << "in its own place";
    EXPECT_EQ(c.stats().evictions, 1);
    EXPECT_EQ(c.peek("a"), 'a');
    c.put("e", 'e');
    EXPECT_EQ(c.peek("a"), std::nullopt) << "a look is no use";
    cache<int, int> large({.capacity = 100'000});
    for (int i = 0; i < 300'000; ++i) large.put(i, i);
    EXPECT_LE(large.size(), 100'000u);
    EXPECT_GT(large.size(), 90'000u) << "the parts are filled evenly";
  });
}

TEST_P(cache_laws, errors_are_forgotten_unless_they_are_to_be_kept) {
  in_bubble([] {
    int loads = 0;
    const auto fails = [&]() -> int {
      ++loads;
      throw std::domain_error("no");
    };
    cache_of_int forgets;
    for (int i = 0; i < 2; ++i) EXPECT_THROW(forgets.get_or_load("a", fails), std::domain_error);
    EXPECT_EQ(loads, 2);
    EXPECT_EQ(forgets.size(), 0u);
    EXPECT_EQ(forgets.stats().failures, 2);
    cache_of_int keeps({.ttl = 1h, .error_ttl = 5s});
    for (int i = 0; i < 2; ++i) EXPECT_THROW(keeps.get_or_load("a", fails), std::domain_error);
    EXPECT_EQ(loads, 3);
    EXPECT_EQ(keeps.peek("a"), std::nullopt);
    sleep_for(5s);
    EXPECT_EQ(keeps.get_or_load("a", [] { return 1; }), 1);
    EXPECT_EQ(keeps.get_or_load("a", fails), 1);
  });
}

TEST_P(cache_laws, a_canceled_load_is_kept_by_nobody) {
  in_bubble([] {
    cache_of_int c({.error_ttl = 1h});
    EXPECT_THROW(with_timeout(1s, [&] { return c.get_or_load("a", [] { return sleep_for(1h), 1; }); }), deadline_exceeded);
    EXPECT_EQ(c.get_or_load("a", [] { return 2; }), 2);
    auto canceled_one = derive_cancel(context::current());
    canceled_one.cancel();
    const context_scope scope(canceled_one.ctx);
    EXPECT_EQ(c.get_or_load("a", unexpected_load), 2) << "what is there is returned";
    EXPECT_THROW(c.get_or_load("b", unexpected_load), canceled);
  });
}

TEST_P(cache_laws, who_waits_goes_on_when_the_one_who_loads_is_canceled) {
  in_bubble([] {
    cache_of_int c;
    auto first = go([&] { return c.get_or_load("a", [] { return sleep_for(1h), 1; }); });
    sleep_for(1s);
    auto second = go([&] { return c.get_or_load("a", [] { return 2; }); });
    sleep_for(1s);
    first.cancel();
    EXPECT_EQ(second.get(), 2);
    EXPECT_THROW(first.get(), task_canceled);
  });
}

TEST_P(cache_laws, whose_given_context_ends_leaves_the_load_to_the_others) {
  in_bubble([] {
    cache_of_int c({}, [](const std::string&) { return sleep_for(2h), 2; });
    auto given = derive_cancel(context::background());
    auto first = go([&] { EXPECT_THROW(c.get_or_load(given.ctx, "a", [] { return sleep_for(1h), 1; }), canceled); });
    sleep_for(1s);
    auto second = go([&] { return c.get(context::background(), "a"); });
    sleep_for(1s);
    given.cancel();
    first.get();
    EXPECT_EQ(second.get(), 2);
    EXPECT_EQ(c.get(given.ctx, "a"), 2) << "what is there is returned all the same";
    EXPECT_EQ(c.get_or_load(given.ctx, "a", [] { return 3; }), 2);
    EXPECT_THROW(c.get(given.ctx, "b"), canceled);
    EXPECT_EQ(c.stats().failures, 0) << "a cancellation is no failure of a load";
  });
}

TEST_P(cache_laws, what_is_invalidated_while_it_is_loaded_is_not_kept) {
  in_bubble([] {
    cache_of_int c;
    const auto slow = [](int v) { return [v] { return sleep_for(10s), v; }; };
    auto before = go([&] { return c.get_or_load("a", slow(1)); });
    auto another = go([&] { return c.get_or_load("b", slow(2)); });
    sleep_for(1s);
    EXPECT_FALSE(c.invalidate("a")) << "nothing is there yet";
    auto after = go([&] { return c.get_or_load("a", slow(3)); });
    EXPECT_EQ(before.get(), 1);
    EXPECT_EQ(c.peek("a"), std::nullopt);
    EXPECT_EQ(after.get(), 3);
    EXPECT_EQ(another.get(), 2);
    EXPECT_EQ(c.peek("a"), 3);
    EXPECT_EQ(c.peek("b"), 2) << "another key's load is not touched";
    EXPECT_TRUE(c.invalidate("a"));
    EXPECT_EQ(c.get_or_load("a", [] { return 4; }), 4);
    auto overtaken = go([&] { return c.get_or_load("c", slow(5)); });
    sleep_for(1s);
    c.put("c", 6);
    EXPECT_EQ(overtaken.get(), 5);
    EXPECT_EQ(c.peek("c"), 6) << "put() is the newer one";
    auto cleared = go([&] { return c.get_or_load("d", slow(7)); });
    sleep_for(1s);
    c.clear();
    EXPECT_EQ(c.get_or_load("d", [] { return 8; }), 8) << "who comes later does not get what was loaded before";
    EXPECT_EQ(cleared.get(), 7);
    EXPECT_EQ(c.peek("d"), 8);
    EXPECT_EQ(c.size(), 1u);
  });
}

TEST_P(cache_laws, a_stale_value_is_returned_at_once_while_one_fiber_loads_a_new_one) {
  in_bubble([] {
    std::atomic<int> loads{0};
    cache_of_int c({.ttl = 10s, .stale_for = 20s}, [&](const std::string& key) {
      EXPECT_EQ(key, "a");
      sleep_for(1s);
      return ++loads;
    });
    const time_point start = steady_clock::now();
    EXPECT_EQ(c.get("a"), 1);
    sleep_for(10s);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(c.get("a"), 1);
    EXPECT_EQ(steady_clock::now(), start + 11s) << "nobody has waited";
    sleep_for(2s);
    EXPECT_EQ(c.get("a"), 2);
    EXPECT_EQ(loads, 2);
    sleep_for(10s);
    EXPECT_EQ(c.get_or_load("a", [] { return 9; }), 9) << "who brings a function does not want the stale one";
    sleep_for(30s);
    EXPECT_EQ(c.get("a"), 3) << "too old";
    const cache_stats s = c.stats();
    EXPECT_EQ(s.stale_hits, 5);
    EXPECT_EQ(s.hits, 1);
    EXPECT_EQ(s.misses, 3);
    EXPECT_EQ(s.loads, 4);
  });
}

TEST_P(cache_laws, a_refresh_that_fails_leaves_the_stale_value_and_is_tried_again) {
  in_bubble([] {
    int loads = 0;
    cache_of_int c({.ttl = 10s, .stale_for = 1h, .error_ttl = 1min}, [&](const std::string&) {
      if (++loads == 2) throw std::domain_error("no");
      return loads;
    });
    EXPECT_EQ(c.get("a"), 1);
    sleep_for(10s);
    EXPECT_EQ(c.get("a"), 1);
    sleep_for(1s);
    EXPECT_EQ(c.stats().failures, 1);
    EXPECT_EQ(c.get("a"), 1) << "starts the next refresh";
    sleep_for(1s);
    EXPECT_EQ(c.get("a"), 3);
  });
}

/// A key that cannot be copied while `no_memory` says so.
struct fragile_key {
  explicit fragile_key(const bool& b) : no_memory(&b) {}
  fragile_key(const fragile_key& o) : no_memory(o.no_memory) {
    if (*no_memory) throw std::bad_alloc();
  }
  bool operator==(const fragile_key&) const { return true; }
  const bool* no_memory;
};
struct fragile_hash {
  std::size_t operator()(const fragile_key&) const { return 1; }
};

TEST_P(cache_laws, a_refresh_that_cannot_be_kept_is_tried_again) {
  in_bubble([] {
    bool no_memory = false;
    int loads = 0;
    cache<fragile_key, int, fragile_hash> c({.ttl = 10s, .stale_for = 1h}, [&](const fragile_key&) {
      no_memory = ++loads == 2;
      return loads;
    });
    const fragile_key key(no_memory);
    EXPECT_EQ(c.get(key), 1);
    sleep_for(10s);
    EXPECT_EQ(c.get(key), 1);
    sleep_for(1s);
    EXPECT_EQ(loads, 2);
    no_memory = false;
    EXPECT_EQ(c.get(key), 1) << "starts the next refresh";
    sleep_for(1s);
    EXPECT_EQ(c.get(key), 3);
  });
}

TEST_P(cache_laws, its_end_cancels_its_own_loads_and_waits_for_them) {
  in_bubble([] {
    int begun = 0, ended = 0;
    const time_point start = steady_clock::now();
    {
      cache_of_int c({.ttl = 1s, .stale_for = 1h}, [&](const std::string&) {
        if (++begun == 1) return 1;
        struct at_end {
          int& n;
          ~at_end() { ++n; }
        } counts{ended};
        return sleep_for(1h), 2;
      });
      EXPECT_EQ(c.get("a"), 1);
      sleep_for(2s);
      EXPECT_EQ(c.get("a"), 1);
      sleep_for(1s);
      EXPECT_EQ(begun, 2);
      EXPECT_EQ(ended, 0);
    }
    EXPECT_EQ(ended, 1);
    EXPECT_EQ(steady_clock::now(), start + 3s);
  });
}

TEST_P(cache_laws, what_cannot_be_kept_is_returned_all_the_same) {
  in_runtime([] {
    cache<int, int> c;
    for (int k = 1;; ++k) {  // each allocation in turn
      int loaded = 0;
      bool thrown = false;
      const auto load = [&] { return ++loaded; };
      fail_allocation(k);
      try {
        EXPECT_EQ(c.get_or_load(k, load), 1);
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      const bool failed = stop_failing();
      EXPECT_TRUE(loaded == 1 || thrown);
      EXPECT_EQ(c.get_or_load(k, [] { return 1; }), 1) << "the cache is as it was";
      if (!failed) break;
    }
    EXPECT_EQ(c.stats().failures, 0);
  });
}

TEST_P(cache_laws, nothing_older_than_the_last_invalidation_is_returned) {
  in_runtime([] {
    constexpr std::size_t keys = 4;
    cache<std::size_t, int> c({.capacity = 3});
    std::array<std::atomic<int>, keys> newest{}, invalidated{};
    std::vector<party> parties;
    for (std::size_t p = 0; p < 4; ++p)
      parties.push_back(start([&, p] {
        std::mt19937_64 random(test::seed() + p);
        for (std::size_t i = scaled(4'000); i-- > 0;) {
          const std::size_t k = random() % keys;
          if (random() % 8 == 0) {
            const int next = ++newest[k];
            c.invalidate(k);
            for (int seen = invalidated[k]; seen < next && !invalidated[k].compare_exchange_weak(seen, next);) {
            }
          }
          const int least = invalidated[k];
          const int got = c.get_or_load(k, [&] {
            const int seen = newest[k];
            if (random() % 4 == 0) yield();
            return seen;
          });
          ASSERT_GE(got, least);
          ASSERT_LE(got, newest[k]);
        }
      }));
    for (party& p : parties) p.join();
    EXPECT_LE(c.size(), 3u);
  });
}

TEST_P(cache_laws, values_end_outside_of_its_locks) {
  in_runtime([] {
    using shared = cache<int, std::shared_ptr<void>>;
    std::atomic<int> ended{0};
    shared c({.capacity = 2});
    const auto uses_the_cache = [&] {
      return std::shared_ptr<void>(nullptr, [&](void*) {
        ++ended;
        static_cast<void>(c.size());
      });
    };
    for (int i = 0; i < 4; ++i) c.put(i, uses_the_cache());
    c.put(3, uses_the_cache());
    c.invalidate(3);
    c.put(4, uses_the_cache());
    c.clear();
    EXPECT_EQ(ended, 6);
  });
}

TEST_P(cache_laws, values_have_to_be_copyable_not_assignable) {
  in_bubble([] {
    struct fixed {
      const int n;
    };
    int loads = 0;
    cache<std::string, fixed> c({.ttl = 1s, .stale_for = 1h}, [&](const std::string&) { return fixed{++loads}; });
    for (int i = 0; i < 2; ++i) EXPECT_EQ(c.get("a").n, 1);
    EXPECT_EQ(c.peek("a")->n, 1);
    sleep_for(1s);
    EXPECT_EQ(c.get("a").n, 1) << "the stale one";
    sleep_for(1ms);
    EXPECT_EQ(c.get("a").n, 2);
  });
}

TEST_P(cache_laws, its_own_function_may_be_kept_in_a_variable) {
  in_runtime([] {
    const std::function<int(const std::string&)> length = [](const std::string& s) {
      return static_cast<int>(s.size());
    };
    cache_of_int c({}, length);
    EXPECT_EQ(c.get("four"), 4);
    cache_of_int by_member({}, &std::string::size);
    EXPECT_EQ(by_member.get("four"), 4);
    EXPECT_THROW(cache_of_int({}, decltype(length)()).get("a"), misuse) << "an empty one is none";
  });
}

TEST_P(cache_laws, what_makes_no_sense_is_refused) {
  in_runtime([] {
    EXPECT_THROW(cache_of_int({.capacity = 0}), misuse);
    EXPECT_THROW(cache_of_int({.ttl = 0s}), misuse);
    EXPECT_THROW(cache_of_int({.stale_for = 1s}), misuse) << "by whom?";
    EXPECT_THROW(cache_of_int({.stale_for = -1s}), misuse);
    EXPECT_THROW(cache_of_int({.error_ttl = -1s}), misuse);
    cache_of_int c;
    EXPECT_THROW(c.get("a"), misuse);
    EXPECT_THROW(c.get_or_load("a", [&] { return c.get_or_load("a", [] { return 1; }); }), misuse);
    EXPECT_EQ(c.get_or_load("a", [] { return 1; }), 1);
  });
}

}  // namespace
}  // namespace runnel::test
