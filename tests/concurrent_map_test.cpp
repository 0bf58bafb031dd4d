// concurrent_map: what each operation does, alone and among others.
#include "support/fixture.hpp"

#include <runnel/sync/concurrent_map.hpp>

#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class concurrent_map_laws : public behaviour {};
RUNNEL_EVERY_CALLER(concurrent_map_laws);

TEST_P(concurrent_map_laws, each_operation_does_what_it_says) {
  in_runtime([] {
    concurrent_map<int, std::string> m;
    EXPECT_FALSE(m.find(1));
    EXPECT_TRUE(m.insert(1, "one"));
    EXPECT_FALSE(m.insert(1, "uno"));
    EXPECT_EQ(m.find(1), "one");
    EXPECT_FALSE(m.insert_or_assign(1, "uno"));
    EXPECT_TRUE(m.insert_or_assign(2, "due"));
    EXPECT_EQ(m.find(1), "uno");
    EXPECT_TRUE(m.contains(2));
    EXPECT_EQ(m.size(), 2u);
    EXPECT_TRUE(m.visit(2, [](std::string& s) { s += "!"; }));
    EXPECT_FALSE(m.visit(3, [](std::string&) { ADD_FAILURE(); }));
    EXPECT_EQ(m.take(2), "due!");
    EXPECT_FALSE(m.take(2));
    EXPECT_TRUE(m.erase(1));
    EXPECT_FALSE(m.erase(1));
    EXPECT_TRUE(m.empty());
  });
}

TEST_P(concurrent_map_laws, it_is_emptied_while_others_use_it) {
  in_runtime([] {
    concurrent_map<int, std::shared_ptr<int>> m;
    m.clear();
    std::atomic<bool> over{false};
    std::vector<party> writers;
    for (int n = 0; n < 2; ++n) {
      writers.push_back(start([&, n] {
        for (int i = 0; !over; ++i) {
          m.insert_or_assign(2 * (i % 200) + n, std::make_shared<int>(i));
          if (i % 32 == 0) yield();
        }
      }));
    }
    for (std::size_t round = scaled(200); round-- > 0;) {
      const auto mine = std::make_shared<int>(-1);
      for (int k = 1000; k < 1020; ++k) m.insert(k, mine);
      m.for_each([&](int, const std::shared_ptr<int>& v) {
        EXPECT_TRUE(v);
        m.clear();
      });
      m.clear();
      ASSERT_EQ(mine.use_count(), 1) << "what was there before is gone, and destroyed";
      yield();
    }
    over = true;
    for (party& p : writers) p.join();
    m.clear();
    EXPECT_TRUE(m.empty());
    EXPECT_TRUE(m.insert(1, nullptr));
    EXPECT_EQ(m.size(), 1u);
  });
}

TEST_P(concurrent_map_laws, what_is_compared_is_what_is_erased) {
  in_runtime([] {
    concurrent_map<std::string, int> m;
    EXPECT_FALSE(m.erase_if("a", [](int) { return ADD_FAILURE(), true; }));
    m.insert("a", 1);
    EXPECT_FALSE(m.erase_if("a", [](int v) { return v == 2; }));
    EXPECT_THROW(m.erase_if("a", [](int) -> bool { throw std::runtime_error("no"); }), std::runtime_error);
    EXPECT_EQ(m.find("a"), 1);
    EXPECT_TRUE(m.erase_if("a", [](int v) { return v == 1; }));
    EXPECT_TRUE(m.empty());
    std::atomic<int> made{0}, erased{0};
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n) {
      parties.push_back(start([&] {
        for (std::size_t i = scaled(1000); i-- > 0;) {
          made += m.insert("b", 1);
          m.visit("b", [](int& v) { v = 3 - v; });
          erased += m.erase_if("b", [](int v) { return v == 2; });
          if (i % 16 == 0) yield();
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(made - erased, m.contains("b") ? 1 : 0);
  });
}

TEST_P(concurrent_map_laws, it_does_as_the_obvious_one_does) {
  in_runtime([] {
    std::mt19937_64 random(seed());
    const auto draw = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
    concurrent_map<int, int> m;
    std::map<int, int> obvious;
    for (std::size_t i = scaled(20'000); i-- > 0;) {
      const int k = draw(12), v = draw(3);
      const auto at = obvious.find(k);
      const bool there = at != obvious.end();
      switch (draw(10)) {
        case 0: ASSERT_EQ(m.insert(k, v), obvious.emplace(k, v).second); break;
        case 1: ASSERT_EQ(m.insert_or_assign(k, v), obvious.insert_or_assign(k, v).second); break;
        case 2: ASSERT_EQ(m.erase(k), obvious.erase(k) != 0); break;
        case 3:
          ASSERT_EQ(m.take(k), there ? std::optional(at->second) : std::nullopt);
          obvious.erase(k);
          break;
        case 4: {
          const bool goes = there && at->second == v;
          ASSERT_EQ(m.erase_if(k, [v](int old) { return old == v; }), goes);
          if (goes) obvious.erase(at);
          break;
        }
        case 5:
          ASSERT_EQ(m.visit(k, [v](int& old) { old = v; }), there);
          if (there) at->second = v;
          break;
        case 6: ASSERT_EQ(m.get_or_create(k, [v] { return v; }), obvious.emplace(k, v).first->second); break;
        case 7: ASSERT_EQ(m.find(k), there ? std::optional(at->second) : std::nullopt); break;
        case 8: ASSERT_EQ(m.contains(k), there); break;
        default:
          if (draw(50) != 0) break;
          m.clear();
          obvious.clear();
      }
      ASSERT_EQ(m.size(), obvious.size());
    }
    std::map<int, int> seen;
    m.for_each([&](int k, int v) { EXPECT_TRUE(seen.emplace(k, v).second); });
    EXPECT_EQ(seen, obvious);
  });
}

TEST_P(concurrent_map_laws, it_grows) {
  in_runtime([] {
    concurrent_map<int, int> m;
    for (int i = 0; i < 5'000; ++i) EXPECT_TRUE(m.insert(i, -i));
    for (int i = 0; i < 5'000; ++i) EXPECT_EQ(m.find(i), -i);
    EXPECT_EQ(m.size(), 5'000u);
    for (int i = 0; i < 5'000; i += 2) EXPECT_TRUE(m.erase(i));
    int seen = 0;
    m.for_each([&](int k, int v) {
      EXPECT_EQ(k, -v);
      EXPECT_EQ(k % 2, 1);
      ++seen;
    });
    EXPECT_EQ(seen, 2'500);
  });
}

struct transparent_hash : std::hash<std::string_view> {
  using is_transparent = void;
};

TEST_P(concurrent_map_laws, a_key_is_looked_up_as_it_is_where_hash_and_equal_can_take_it) {
  in_runtime([] {
    concurrent_map<std::string, int, transparent_hash> m;
    const std::string_view key = "a key that is longer than what a string holds inside";
    EXPECT_TRUE(m.insert(key, 1));
    EXPECT_FALSE(m.insert(std::string(key), 2));
    const std::uint64_t before = allocations_made();
    EXPECT_EQ(m.find(key), 1);
    EXPECT_TRUE(m.contains(key));
    EXPECT_EQ(allocations_made(), before);
    EXPECT_TRUE(m.erase(key));
    concurrent_map<std::string, int> plain;
    EXPECT_TRUE(plain.insert("literal", 3));
    EXPECT_EQ(plain.find("literal"), 3);
  });
}

TEST_P(concurrent_map_laws, a_value_that_only_moves_is_visited_and_taken) {
  in_runtime([] {
    concurrent_map<int, std::unique_ptr<int>> m;
    EXPECT_TRUE(m.insert(1, std::make_unique<int>(5)));
    EXPECT_TRUE(m.visit(1, [](auto& p) { ++*p; }));
    EXPECT_FALSE(m.insert_or_assign(1, std::make_unique<int>(9)));
    EXPECT_EQ(**m.take(1), 9);
  });
}

TEST_P(concurrent_map_laws, a_turn_does_not_end_inside_visit) {
  in_runtime([] {
    concurrent_map<int, int> m;
    m.insert(0, 0);
    auto other = start([&] {
      for (int i = 0; i < 100; ++i) m.visit(0, [](int& v) { ++v; });
    });
    for (int i = 0; i < 100; ++i)
      m.visit(0, [](int& v) {
        yield();  // to the other, it would wait for this fiber's lock and keep the worker
        for (int k = 0; k < 200; ++k) this_fiber::checkpoint();
        ++v;
      });
    other.join();
    EXPECT_EQ(m.find(0), 200);
  });
}

TEST_P(concurrent_map_laws, changes_by_visit_are_not_lost) {
  in_runtime([] {
    concurrent_map<int, int> m;
    m.insert(0, 0);
    const int each = static_cast<int>(scaled(2'000));
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n) {
      parties.push_back(start([&] {
        for (int i = 0; i < each; ++i) m.visit(0, [](int& v) { ++v; });
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(m.find(0), 4 * each);
  });
}

TEST_P(concurrent_map_laws, a_value_is_created_once_while_others_wait) {
  in_runtime([this] {
    concurrent_map<std::string, int> m;
    channel<unit> gate;
    std::atomic<int> created{0};
    std::vector<party> parties;
    for (int n = 0; n < 6; ++n) {
      parties.push_back(start([&] {
        EXPECT_EQ(m.get_or_create("key", [&] {
          created.fetch_add(1);
          gate.receive();
          return 7;
        }), 7);
      }));
    }
    until_waiting(6);
    EXPECT_FALSE(m.contains("key")) << "not yet";
    EXPECT_EQ(m.get_or_create("other", [] { return 1; }), 1) << "no lock is held";
    gate.send({});
    for (party& p : parties) p.join();
    EXPECT_EQ(created, 1);
  });
}

TEST_P(concurrent_map_laws, a_creation_that_throws_leaves_it_to_the_next) {
  in_runtime([this] {
    concurrent_map<int, int> m;
    channel<unit> gate;
    std::atomic<int> calls{0}, failed{0}, got{0};
    std::vector<party> parties;
    for (int n = 0; n < 6; ++n) {
      parties.push_back(start([&] {
        try {
          got.fetch_add(m.get_or_create(1, [&]() -> int {
            const int call = calls.fetch_add(1);
            if (call == 0) gate.receive();
            if (call < 3) throw std::runtime_error("not yet");
            return 1;
          }));
        } catch (const std::runtime_error&) {
          failed.fetch_add(1);
        }
      }));
    }
    until_waiting(6);
    gate.send({});
    for (party& p : parties) p.join();
    EXPECT_EQ(failed, 3);
    EXPECT_EQ(got, 3);
    EXPECT_EQ(calls, 4);
    EXPECT_EQ(m.size(), 1u);
  });
}

TEST_P(concurrent_map_laws, who_waits_for_a_creation_may_be_canceled) {
  in_runtime([this] {
    concurrent_map<int, int> m;
    channel<unit> gate;
    auto creator = start([&] {
      EXPECT_EQ(m.get_or_create(1, [&] {
        gate.receive();
        return 1;
      }), 1);
    });
    until_waiting(1);
    auto c = derive_cancel(context::current());
    std::atomic<bool> thrown{false};
    auto waiter = start([&, ctx = c.ctx] {
      const context_scope scope(ctx);
      try {
        m.get_or_create(1, [] { return 2; });
      } catch (const canceled&) {
        thrown = true;
      }
    });
    until_waiting(2);
    c.cancel();
    waiter.join();
    EXPECT_TRUE(thrown);
    gate.send({});
    creator.join();
    EXPECT_EQ(m.find(1), 1);
  });
}

TEST_P(concurrent_map_laws, a_creation_gives_way_to_what_was_inserted_meanwhile_and_may_not_ask_for_itself) {
  in_runtime([] {
    concurrent_map<int, int> m;
    EXPECT_EQ(m.get_or_create(1, [&] {
      EXPECT_TRUE(m.insert(1, 5));
      return 6;
    }), 5);
    EXPECT_THROW(m.get_or_create(2, [&] { return m.get_or_create(2, [] { return 0; }); }), misuse);
    EXPECT_FALSE(m.contains(2));
    EXPECT_EQ(m.get_or_create(2, [&] { return m.get_or_create(3, [] { return 3; }) - 1; }), 2);
  });
}

TEST_P(concurrent_map_laws, an_iteration_ends_although_others_insert_and_may_be_ended) {
  in_runtime([] {
    concurrent_map<int, int> m;
    for (int i = 0; i < 100; ++i) m.insert(i, i);
    int next = 100, seen = 0;
    m.for_each([&](int, int) {
      for (int i = 0; i < 3; ++i) m.insert(next++, 0);
      ++seen;
    });
    EXPECT_GE(seen, 100);
    EXPECT_LT(seen, 10'000) << "what comes behind it is not for it";
    seen = 0;
    m.for_each([&](int, int) { return ++seen < 10; });
    EXPECT_EQ(seen, 10);
    EXPECT_THROW(m.for_each([&](int, int) { throw std::runtime_error("enough"); }), std::runtime_error);
    m.for_each([&](int k, int) {
      sleep_for(1us);  // it may wait
      m.erase(k);
    });
    EXPECT_EQ(m.size(), 0u);
  });
}

struct fussy {
  explicit fussy(int v) : value(v) {}
  fussy(const fussy& o) : value(o.value) { complain(); }
  fussy(fussy&& o) noexcept(false) : value(o.value) { complain(); }
  fussy& operator=(const fussy& o) {
    complain();
    value = o.value;
    return *this;
  }
  static void complain() {
    if (complains > 0 && --complains == 0) throw std::runtime_error("no copies");
  }
  int value;
  static inline std::atomic<int> complains{0};
};
struct fussy_hash {
  std::size_t operator()(int k) const {
    if (k == 13) throw std::runtime_error("no hash");
    return static_cast<std::size_t>(k);
  }
};

TEST_P(concurrent_map_laws, whatever_throws_leaves_the_map_as_it_was) {
  in_runtime([] {
    concurrent_map<int, fussy, fussy_hash> m;
    m.insert(1, fussy(1));
    for (int at = 1; at < 6; ++at) {
      for (const int key : {1, 2, 13}) {
        fussy::complains = at;
        try {
          m.insert_or_assign(key, fussy(100));
          fussy::complains = 0;
          EXPECT_NE(key, 13);
          m.insert_or_assign(1, fussy(1));
          m.erase(2);
        } catch (const std::runtime_error&) {
          fussy::complains = 0;
          EXPECT_EQ(m.find(1)->value, 1);
          EXPECT_FALSE(m.contains(2));
          EXPECT_EQ(m.size(), 1u);
        }
      }
    }
    fussy::complains = 1;
    EXPECT_THROW(m.find(1), std::runtime_error);
    fussy::complains = 1;
    EXPECT_THROW(m.for_each([](int, const fussy&) {}), std::runtime_error);
    fussy::complains = 0;
    EXPECT_EQ(m.find(1)->value, 1);
  });
}

class concurrent_map_death_test : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(concurrent_map_death_test, waiting_inside_visit_ends_the_process) {
  EXPECT_DEATH(run([] {
                 concurrent_map<int, int> m;
                 m.insert(1, 1);
                 m.visit(1, [](int&) { sleep_for(1s); });
               }),
               "inside a function that runs under a lock of the library");
  EXPECT_DEATH(run([] {
                 concurrent_map<int, int> m;
                 m.insert(1, 1);
                 m.visit(1, [&](int&) { m.find(1); });
               }),
               "concurrent_map::visit");
}

}  // namespace
}  // namespace runnel::test
