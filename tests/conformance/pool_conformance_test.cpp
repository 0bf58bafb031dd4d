// pool: what is given back is used again, what is left ends.
#include "support/fixture.hpp"

#include <runnel/sync/pool.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

class pool_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(pool_conformance);

/// Knows how many of its kind there are.
struct counted {
  explicit counted(std::atomic<int>& l, int i = 0) : live(&l), id(i) { live->fetch_add(1); }
  counted(counted&& o) noexcept : live(o.live), id(o.id) { live->fetch_add(1); }
  ~counted() { live->fetch_sub(1); }
  std::atomic<int>* live;
  int id;
};

TEST_P(pool_conformance, pool_01_an_empty_one_gives_nothing_and_each_that_was_put_once) {
  in_runtime([] {
    pool<std::string> p;
    EXPECT_FALSE(p.try_get());
    p.put("a");
    p.put("b");
    {
      auto first = p.try_get(), second = p.try_get();
      ASSERT_TRUE(first && second);
      EXPECT_EQ((std::set<std::string>{**first, **second}), (std::set<std::string>{"a", "b"}));
      EXPECT_FALSE(p.try_get());
    }
    EXPECT_TRUE(p.try_get()) << "both have come back";
  });
}

TEST_P(pool_conformance, pool_01_neighbour_get_makes_one_where_there_is_none_and_uses_it_again) {
  in_runtime([] {
    std::atomic<int> made{0};
    pool<int> p([&] { return ++made; });
    {
      auto a = p.get();
      auto b = p.get();
      EXPECT_NE(*a, *b);
      auto moved = std::move(a);
      EXPECT_FALSE(a);
      EXPECT_THROW(static_cast<void>(*a), misuse);
      moved.give_back();
      EXPECT_THROW(static_cast<void>(*moved), misuse);
      EXPECT_EQ(*p.get(), 1);
    }
    start([&] { EXPECT_LE(*p.get(), 2) << "what another one has given back"; }).join();
    EXPECT_EQ(made.load(), 2);
  });
}

TEST_P(pool_conformance, pool_01_neighbour_objects_need_not_be_movable) {
  in_runtime([] {
    struct pinned {
      mutex lock;
      int uses = 0;
    };
    pool<pinned> by_default;
    ++by_default.get()->uses;
    EXPECT_EQ(by_default.get()->uses, 1);
    pool<pinned> by_factory([] { return pinned{.lock = {}, .uses = 5}; });
    EXPECT_EQ(by_factory.get()->uses, 5);
  });
}

TEST_P(pool_conformance, pool_03_trim_destroys_what_is_idle) {
  in_runtime([] {
    for (const bool drain : {false, true}) {
      std::atomic<int> live{0};
      pool<counted> p([&] { return counted(live); }, {.idle_per_worker = 1000});
      for (int i = 0; i < 100; ++i) p.put(counted(live));
      if (drain) {
        std::vector<pool<counted>::lease> all;
        while (auto lease = p.try_get()) all.push_back(std::move(*lease));
        EXPECT_EQ(all.size(), 100u);
        EXPECT_EQ(p.trim(), 0u) << "all are in use";
      }
      EXPECT_GE(p.trim(), 99u);
      EXPECT_LE(live.load(), 1);
    }
  });
}

TEST_P(pool_conformance, pool_03_neighbour_it_keeps_no_more_than_it_may_and_its_end_destroys_the_rest) {
  in_runtime([] {
    std::atomic<int> live{0};
    {
      pool<counted> p([&] { return counted(live); }, {.idle_per_worker = 3});
      std::vector<pool<counted>::lease> all;
      for (int i = 0; i < 20; ++i) all.push_back(p.get());
      EXPECT_EQ(live.load(), 20);
      all.clear();
      EXPECT_GE(live.load(), 3);
      EXPECT_LT(live.load(), 20) << "it kept what it may, for each worker that gave something back";
    }
    EXPECT_EQ(live.load(), 0);
  });
}

TEST_P(pool_conformance, pool_05_each_of_many_is_seen_once_and_none_is_left) {
  in_runtime([] {
    const std::size_t count = scaled(1'000'000) / 10;
    pool<int> p([] { return -1; }, {.idle_per_worker = count});
    std::vector<std::atomic<int>> seen(count);
    std::vector<std::vector<pool<int>::lease>> kept(10);  // so that none comes back
    std::atomic<bool> all_put{false};
    std::vector<party> parties;
    const auto take_one = [&](std::size_t n) {
      auto lease = p.try_get();
      if (!lease) return false;
      seen[static_cast<std::size_t>(**lease)].fetch_add(1);
      kept[n].push_back(std::move(*lease));
      return true;
    };
    for (std::size_t n = 1; n < 10; ++n) {
      parties.push_back(start([&, n] {
        for (;;) {
          const bool last = all_put;
          while (take_one(n)) {
          }
          if (last) break;
          yield();
        }
      }));
    }
    for (std::size_t i = 0; i < count; ++i) {
      p.put(static_cast<int>(i));
      if (i % 10 == 0) take_one(0);
      if (i % 256 == 0) yield();
    }
    all_put = true;
    for (party& q : parties) q.join();
    for (const auto& s : seen) ASSERT_EQ(s.load(), 1);
    EXPECT_FALSE(p.try_get());
  });
}

TEST_P(pool_conformance, pool_05_neighbour_no_object_has_two_users) {
  in_runtime([] {
    struct used {
      std::atomic<int> users{0};
      int writes = 0;  // ordered by the pool alone
      used() = default;
      used(used&&) noexcept {}
    };
    pool<used> p({.idle_per_worker = 2});
    std::vector<party> parties;
    for (int n = 0; n < 6; ++n) {
      parties.push_back(start([&] {
        for (std::size_t i = scaled(2'000); i-- > 0;) {
          auto lease = p.get();
          EXPECT_EQ(lease->users.fetch_add(1), 0);
          ++lease->writes;
          if (i % 16 == 0) yield();
          lease->users.fetch_sub(1);
        }
      }));
    }
    for (party& q : parties) q.join();
  });
}

TEST_P(pool_conformance, pool_07_a_lease_outlives_its_pool) {
  in_runtime([] {
    std::atomic<int> live{0};
    std::optional<pool<counted>::lease> late;
    {
      pool<counted> p([&] { return counted(live, 7); });
      late = p.get();
      p.put(counted(live));
    }
    EXPECT_EQ(live.load(), 1);
    EXPECT_EQ((*late)->id, 7);
    late.reset();
    EXPECT_EQ(live.load(), 0);
  });
}

TEST_P(pool_conformance, pool_07_neighbour_leases_come_back_while_the_pool_ends) {
  in_runtime([] {
    for (std::size_t round = scaled(300); round-- > 0;) {
      std::atomic<int> live{0};
      auto p = std::make_unique<pool<counted>>([&] { return counted(live); });
      auto returner = start([lease = std::make_shared<pool<counted>::lease>(p->get())] { lease->give_back(); });
      p.reset();
      returner.join();
      EXPECT_EQ(live.load(), 0);
    }
  });
}

}  // namespace
}  // namespace runnel::test
