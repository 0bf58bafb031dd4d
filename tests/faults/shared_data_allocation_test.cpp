// Shared data without memory: each allocation fails once, and nothing has changed.
#include "support/failing_allocation.hpp"
#include "support/fixture.hpp"

#include <runnel/sync/atomic_snapshot.hpp>
#include <runnel/sync/concurrent_map.hpp>
#include <runnel/sync/lazy.hpp>
#include <runnel/sync/pool.hpp>

#include <functional>
#include <new>
#include <string>

namespace runnel::test {
namespace {

class shared_data_allocation : public plain {
 protected:
  /// Calls operate() with the first, the second ... allocation failing until none does; unchanged() after each failure.
  /// At least `fewest` have to fail.
  static void fail_each(int fewest, const std::function<void()>& operate, const std::function<void()>& unchanged) {
    for (int k = 1;; ++k) {
      ASSERT_LT(k, 1000);
      fail_allocation(k);
      bool thrown = false;
      try {
        operate();
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      const bool failed = stop_failing();
      if (!thrown) {
        EXPECT_FALSE(failed) << "a failure was hidden";
        EXPECT_GT(k, fewest);
        return;
      }
      unchanged();
    }
  }
};

TEST_F(shared_data_allocation, a_map_stays_as_it_was) {
  in_runtime({.workers = 1}, [] {
    const std::string long_key = "a key that does not fit into the string itself";
    concurrent_map<std::string, std::string> m;
    const auto without = [&] {
      EXPECT_EQ(m.size(), 0u);
      EXPECT_FALSE(m.contains(long_key));
    };
    fail_each(2, [&] { m.insert(long_key, std::string(100, 'v')); }, without);
    const auto with = [&] {
      EXPECT_EQ(m.size(), 1u);
      EXPECT_EQ(m.find(long_key), std::string(100, 'v'));
    };
    fail_each(1, [&] { m.insert_or_assign(long_key, std::string(100, 'v')); }, with);
    fail_each(1, [&] { m.find(long_key); }, with);
    fail_each(1, [&] { m.for_each([](const std::string&, const std::string&) {}); }, with);
    m.erase(long_key);
    fail_each(3, [&] { m.get_or_create(long_key, [] { return std::string(100, 'v'); }); }, without);
    with();
  });
}

TEST_F(shared_data_allocation, a_table_that_cannot_grow_has_longer_chains) {
  in_runtime({.workers = 1}, [] {
    concurrent_map<int, int> m;
    int refused = 0;
    for (int k = 0; k < 2'000; ++k) {
      fail_allocation(2);  // the first is the entry's
      try {
        m.insert(k, k);
      } catch (const std::bad_alloc&) {
        ++refused;  // a part's first table
        stop_failing();
        m.insert(k, k);
      }
      stop_failing();
    }
    EXPECT_GT(refused, 0);
    EXPECT_EQ(m.size(), 2'000u);
    for (int k = 0; k < 2'000; ++k) EXPECT_EQ(m.find(k), k);
  });
}

TEST_F(shared_data_allocation, a_snapshot_and_a_pool_stay_as_they_were) {
  in_runtime({.workers = 1}, [] {
    atomic_snapshot<int> s(1);
    fail_each(1, [&] { s.store(2); }, [&] { EXPECT_EQ(*s.load(), 1); });
    fail_each(1, [&] { s.update([](int v) { return v + 1; }); }, [&] { EXPECT_EQ(*s.load(), 2); });
    EXPECT_EQ(*s.load(), 3);
    pool<int> p;
    fail_each(1, [&] { static_cast<void>(p.get()); }, [&] { EXPECT_FALSE(p.try_get()); });
    fail_each(1, [&] { p.put(1); }, [] {});
  });
}

TEST_F(shared_data_allocation, a_lazy_remembers_that_there_was_no_memory) {
  in_runtime({.workers = 1}, [] {
    lazy<std::string> l([] { return std::string(100, 'x'); });
    fail_allocation(1);
    EXPECT_THROW(l.get(), std::bad_alloc);
    stop_failing();
    EXPECT_THROW(l.get(), std::bad_alloc) << "an error like any other";
  });
}

}  // namespace
}  // namespace runnel::test
