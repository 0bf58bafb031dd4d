// concurrent_map: iteration among writers, nested calls, allocations, ends of values.
#include "support/fixture.hpp"

#include <runnel/sync/concurrent_map.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <vector>

namespace runnel::test {
namespace {

class map_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(map_conformance);

TEST_P(map_conformance, map_02_an_iteration_visits_every_key_once_while_writers_write) {
  in_runtime([] {
    constexpr int keys = 1024;
    concurrent_map<int, int> m;
    for (int k = 0; k < keys; ++k) m.insert(k, 0);
    std::atomic<bool> over{false};
    std::vector<party> writers;
    for (int n = 1; n <= 2; ++n) {
      writers.push_back(start([&, n] {
        for (int i = n; !over; ++i) {
          for (int k = n; k < keys; k += 2 * n) m.insert_or_assign(k, k * (i % 1000));
          yield();
        }
      }));
    }
    for (std::size_t round = scaled(1024) / 8; round-- > 0;) {
      std::vector<int> seen(keys);
      m.for_each([&](int k, int v) {
        EXPECT_TRUE(k == 0 ? v == 0 : v % k == 0);
        ++seen[static_cast<std::size_t>(k)];
      });
      for (const int s : seen) ASSERT_EQ(s, 1);
      yield();
    }
    over = true;
    for (party& p : writers) p.join();
  });
}

TEST_P(map_conformance, map_02_neighbour_keys_that_stay_are_visited_once_while_others_come_and_go) {
  in_runtime([] {
    constexpr int keys = 300;
    concurrent_map<int, int> m;
    for (int k = 0; k < keys; ++k) m.insert(k, k);
    std::atomic<bool> over{false};
    auto writer = start([&] {
      for (int i = 0; !over; ++i) {
        const int k = keys + i % 500;
        if (!m.insert(k, k)) m.erase(k);
        if (i % 64 == 0) yield();
      }
    });
    for (std::size_t round = scaled(400) / 4; round-- > 0;) {
      std::vector<int> seen(keys + 500);
      m.for_each([&](int k, int v) {
        EXPECT_EQ(k, v);
        ++seen[static_cast<std::size_t>(k)];
      });
      for (int k = 0; k < keys; ++k) ASSERT_EQ(seen[static_cast<std::size_t>(k)], 1);
      yield();
    }
    over = true;
    writer.join();
  });
}

TEST_P(map_conformance, map_04_an_iteration_may_do_everything_with_its_map) {
  in_runtime([] {
    concurrent_map<int, int> m;
    for (int k = 0; k < 30; ++k) m.insert(k, k);
    m.for_each([&](int k, int) {
      m.for_each([&](int other, int v) {
        if (const auto found = m.find(k)) {
          EXPECT_EQ(*found, k);
        }
        EXPECT_EQ(v, other);
        m.insert(k, k);
        m.insert_or_assign(other, other);
        m.take(other);
        m.erase(k);
      });
    });
    m.for_each([&](int k, int) { m.erase(k); });
    EXPECT_EQ(m.size(), 0u);
  });
}

TEST_P(map_conformance, map_04_neighbour_the_key_at_which_an_iteration_stands_may_go_and_come_again) {
  in_runtime([] {
    concurrent_map<std::string, int> m;
    for (int k = 0; k < 20; ++k) m.insert("a key of some length " + std::to_string(k), k);
    int visits = 0;
    m.for_each([&](const std::string& key, int v) {
      ++visits;
      EXPECT_TRUE(m.erase(key));
      EXPECT_EQ(key, "a key of some length " + std::to_string(v)) << "it is there until the visit is over";
      EXPECT_TRUE(m.insert(key, v));
    });
    EXPECT_EQ(visits, 20) << "what comes again counts as new";
    EXPECT_EQ(m.size(), 20u);
  });
}

TEST_P(map_conformance, map_06_an_iteration_allocates_nothing) {
  in_runtime([] {
    concurrent_map<int, int> empty, full;
    for (int k = 0; k < 1000; ++k) full.insert(k, k);
    for (int run = 0; run < 10; ++run) {
      long sum = 0;
      const std::uint64_t before = allocations_made();
      empty.for_each([&](int, int v) { sum += v; });
      full.for_each([&](int, int v) { sum += v; });
      EXPECT_EQ(allocations_made(), before);
      EXPECT_EQ(sum, 999 * 500);
    }
  });
}

TEST_P(map_conformance, map_06_neighbour_nor_do_looking_assigning_and_erasing) {
  in_runtime([] {
    concurrent_map<int, int> m;
    for (int k = 0; k < 100; ++k) m.insert(k, k);
    const std::uint64_t before = allocations_made();
    for (int k = 0; k < 100; ++k) {
      EXPECT_EQ(m.find(k), k);
      m.insert_or_assign(k, 1);
      m.visit(k, [](int& v) { ++v; });
      EXPECT_FALSE(m.insert(k, 0));
      EXPECT_TRUE(m.erase(k));
    }
    EXPECT_EQ(allocations_made(), before);
  });
}

struct throws_when_assigned {
  explicit throws_when_assigned(int v) : value(v) {}
  throws_when_assigned(const throws_when_assigned& o) : value(o.value) { maybe(); }
  throws_when_assigned& operator=(const throws_when_assigned& o) {
    maybe();
    value = o.value;
    return *this;
  }
  static void maybe() {
    if (armed) throw std::runtime_error("assignment");
  }
  int value;
  static inline std::atomic<bool> armed{false};
};

TEST_P(map_conformance, map_08_an_assignment_that_throws_leaves_the_old_value) {
  in_runtime([] {
    concurrent_map<int, throws_when_assigned> m;
    m.insert(1, throws_when_assigned(1));
    throws_when_assigned::armed = true;
    EXPECT_THROW(m.insert_or_assign(1, throws_when_assigned(2)), std::runtime_error);
    throws_when_assigned::armed = false;
    EXPECT_EQ(m.size(), 1u);
    EXPECT_EQ(m.find(1)->value, 1);
    EXPECT_FALSE(m.insert_or_assign(1, throws_when_assigned(3)));
    EXPECT_EQ(m.find(1)->value, 3);
  });
}

TEST_P(map_conformance, map_08_neighbour_an_insertion_that_throws_leaves_no_key) {
  in_runtime([] {
    concurrent_map<int, throws_when_assigned> m;
    throws_when_assigned::armed = true;
    EXPECT_THROW(m.insert(1, throws_when_assigned(1)), std::runtime_error);
    EXPECT_THROW(m.get_or_create(1, [] { return throws_when_assigned(1); }), std::runtime_error);
    throws_when_assigned::armed = false;
    EXPECT_EQ(m.size(), 0u);
    EXPECT_FALSE(m.contains(1));
    EXPECT_EQ(m.get_or_create(1, [] { return throws_when_assigned(4); }).value, 4);
  });
}

TEST_P(map_conformance, map_10_the_end_of_one_map_leaves_the_other) {
  in_runtime([] {
    auto value = std::make_shared<int>(1);
    auto first = std::make_unique<concurrent_map<int, std::shared_ptr<int>>>();
    concurrent_map<int, std::shared_ptr<int>> second;
    for (int k = 0; k < 100; ++k) {
      first->insert(k, value);
      second.insert(k, value);
    }
    EXPECT_EQ(value.use_count(), 201);
    first.reset();
    EXPECT_EQ(value.use_count(), 101);
    EXPECT_EQ(second.size(), 100u);
  });
}

TEST_P(map_conformance, map_10_neighbour_what_is_replaced_or_erased_ends_at_once) {
  in_runtime([] {
    auto value = std::make_shared<int>(1);
    concurrent_map<int, std::shared_ptr<int>> m;
    m.insert(1, value);
    m.insert(1, value);
    EXPECT_EQ(value.use_count(), 2);
    m.insert_or_assign(1, nullptr);
    EXPECT_EQ(value.use_count(), 1);
    m.insert_or_assign(1, value);
    m.erase(1);
    EXPECT_EQ(value.use_count(), 1);
    m.insert(1, value);
    EXPECT_EQ(m.take(1), value);
    EXPECT_EQ(value.use_count(), 1);
  });
}

TEST_P(map_conformance, map_12_the_end_of_a_value_may_use_its_map) {
  struct reenters {
    reenters(concurrent_map<int, std::shared_ptr<reenters>>& m, int k) : map(m), key(k) {}
    ~reenters() {
      map.erase(key);
      map.find(key + 1);
      map.erase(key + 1);  // and so on
    }
    concurrent_map<int, std::shared_ptr<reenters>>& map;
    const int key;
  };
  in_runtime([] {
    concurrent_map<int, std::shared_ptr<reenters>> m;
    for (int k = 0; k < 50; ++k) m.insert(k, std::make_shared<reenters>(m, k));
    EXPECT_EQ(m.size(), 50u);
    m.insert_or_assign(10, nullptr);  // takes what is behind it with it
    EXPECT_EQ(m.size(), 10u);
    m.erase(0);
    EXPECT_EQ(m.size(), 0u);
  });
}

TEST_P(map_conformance, map_12_neighbour_so_may_the_end_of_one_at_which_an_iteration_stands) {
  struct reenters {
    explicit reenters(concurrent_map<int, std::shared_ptr<reenters>>& m) : map(m) {}
    ~reenters() { map.insert(1000, nullptr); }
    concurrent_map<int, std::shared_ptr<reenters>>& map;
  };
  in_runtime([] {
    concurrent_map<int, std::shared_ptr<reenters>> m;
    for (int k = 0; k < 20; ++k) m.insert(k, std::make_shared<reenters>(m));
    m.for_each([&](int k, const auto&) { m.erase(k); });
    m.erase(1000);
    EXPECT_EQ(m.size(), 0u);
  });
}

}  // namespace
}  // namespace runnel::test
