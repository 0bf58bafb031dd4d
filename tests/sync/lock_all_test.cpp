// lock_all and sharded_mutex: no deadlock, nothing twice, all or none.
#include "support/fixture.hpp"

#include <runnel/sync/lock_all.hpp>
#include <runnel/sync/sharded_mutex.hpp>
#include <runnel/sync/shared_mutex.hpp>

#include <algorithm>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

class lock_all_test : public behaviour {};
RUNNEL_EVERY_CALLER(lock_all_test);

struct account {
  mutex m;
  int balance = 100;
};

TEST_P(lock_all_test, transfers_in_every_direction_neither_deadlock_nor_lose_money) {
  in_runtime([] {
    std::vector<account> accounts(4);
    std::vector<party> parties;
    for (std::size_t n = 0; n < 4; ++n) {
      parties.push_back(start([&, n] {
        for (std::size_t i = scaled(1'000); i-- > 0;) {
          account& from = accounts[(n + i) % 4];
          account& to = accounts[(n + i * i) % 4];  // the same one at times
          const auto held = lock_all(from.m, to.m);
          from.balance -= 1;
          if (i % 32 == 0) yield();
          to.balance += 1;
        }
      }));
    }
    parties.push_back(start([&] {
      for (std::size_t i = scaled(200); i-- > 0;) {
        const auto held = lock_all(accounts, &account::m);
        int sum = 0;
        for (const account& a : accounts) sum += a.balance;
        EXPECT_EQ(sum, 400);
      }
    }));
    for (party& p : parties) p.join();
  });
}

TEST_P(lock_all_test, a_context_that_ends_leaves_none_of_a_range_locked) {
  in_runtime([this] {
    std::vector<account> accounts(3);
    auto c = derive_cancel(context::current());
    accounts[1].m.lock();
    auto waiting = start([&, ctx = c.ctx] {
      EXPECT_THROW(static_cast<void>(lock_all(ctx, accounts, &account::m)), canceled);
    });
    until_waiting(1);
    EXPECT_FALSE(accounts[0].m.try_lock()) << "it has the first";
    c.cancel();
    waiting.join();
    accounts[1].m.unlock();
    const auto held = lock_all(context::current(), accounts, &account::m);
    EXPECT_EQ(held.size(), 3u);
  });
}

TEST_P(lock_all_test, what_is_given_twice_is_locked_once_and_all_are_released) {
  in_runtime([] {
    mutex a, b;
    shared_mutex c;
    {
      auto held = lock_all(b, a, c, b, a);
      EXPECT_EQ(held.size(), 3u);
      EXPECT_FALSE(a.try_lock());
      EXPECT_FALSE(b.try_lock());
      EXPECT_FALSE(c.try_lock_shared());
      held.unlock();
      EXPECT_EQ(held.size(), 0u);
      EXPECT_EQ(std::try_lock(a, b, c), -1);
      a.unlock();
      b.unlock();
      c.unlock();
    }
    const std::vector<mutex*> pointers{&b, &a, &b};
    {
      const auto held = lock_all(pointers, [](mutex* m) -> mutex& { return *m; });
      EXPECT_EQ(held.size(), 2u);
      EXPECT_FALSE(b.try_lock());
    }
    EXPECT_TRUE(b.try_lock());
    b.unlock();
    EXPECT_EQ(lock_all(std::vector<mutex>()).size(), 0u);
  });
}

/// A lock that may refuse.
struct fragile {
  void lock() {
    if (broken) throw std::runtime_error("broken");
    ++held;
  }
  void unlock() { --held; }
  bool broken = false;
  int held = 0;
};

TEST(lock_all, one_that_throws_releases_those_before_it) {
  fragile locks[4];
  locks[2].broken = true;
  EXPECT_THROW(static_cast<void>(lock_all(locks[3], locks[0], locks[2], locks[1])), std::runtime_error);
  EXPECT_THROW(static_cast<void>(lock_all(locks)), std::runtime_error);
  for (const fragile& l : locks) EXPECT_EQ(l.held, 0);
  locks[2].broken = false;
  {
    const auto held = lock_all(locks);
    for (const fragile& l : locks) EXPECT_EQ(l.held, 1);
  }
  for (const fragile& l : locks) EXPECT_EQ(l.held, 0);
}

TEST(sharded_mutex, the_same_key_has_the_same_mutex_and_keys_spread) {
  sharded_mutex locks(50);
  EXPECT_EQ(locks.size(), 64u);
  EXPECT_EQ(&locks[std::string("a")], &locks[std::string("a")]);
  EXPECT_EQ(&locks[7], &locks.of_hash(std::hash<int>()(7)));
  for (const std::size_t stride : {1u, 8u, 64u, 4096u}) {
    std::set<const mutex*> used;
    for (std::size_t i = 0; i < 640; ++i) used.insert(&locks[i * stride]);
    EXPECT_GE(used.size(), 48u) << "keys " << stride << " apart";
  }
  static_assert(sizeof(sharded_mutex::shard) == 64);
  sharded_mutex one(1);
  EXPECT_EQ(&one[1], &one[2]);
  EXPECT_EQ(sharded_mutex(0).size(), 1u);
}

class sharded_mutex_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(sharded_mutex_conformance);

TEST_P(sharded_mutex_conformance, mutex_13_while_all_are_held_nobody_holds_one) {
  in_runtime([] {
    sharded_mutex locks(64);
    std::atomic<int> holders{0};
    std::atomic<bool> over{false};
    std::vector<party> parties;
    for (int n = 0; n < 16; ++n) {
      parties.push_back(start([&, n] {
        for (int i = 0; !over; ++i) {
          const std::scoped_lock lock(locks[n * 1'000 + i]);
          ++holders;
          if (i % 4 == 0) yield();
          --holders;
        }
      }));
    }
    for (std::size_t i = scaled(100); i-- > 0;) {
      const auto all = lock_all(locks);
      EXPECT_EQ(all.size(), 64u);
      EXPECT_EQ(holders, 0);
      if (i % 8 == 0) yield();
      EXPECT_EQ(holders, 0);
    }
    over = true;
    for (party& p : parties) p.join();
  });
}

TEST_P(sharded_mutex_conformance, mutex_13_neighbour_two_keys_at_a_time_also_where_they_share_a_mutex) {
  in_runtime([] {
    sharded_mutex locks(2);
    std::vector<int> values(8);
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n) {
      parties.push_back(start([&, n] {
        for (std::size_t i = scaled(400); i-- > 0;) {
          const std::size_t a = (i + static_cast<std::size_t>(n)) % 8, b = i * 3 % 8;
          const auto held = lock_all(locks[a], locks[b]);
          ++values[a];
          --values[b];
        }
      }));
    }
    for (party& p : parties) p.join();
    int sum = 0;
    for (const int v : values) sum += v;
    EXPECT_EQ(sum, 0);
  });
}

}  // namespace
}  // namespace runnel::test
