// work_stealing_deque: order, kinds of elements, what throws, growth, and the end of its life.
#include "support/fixture.hpp"

#include <runnel/lockfree/work_stealing_deque.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using lockfree::work_stealing_deque;

TEST(work_stealing_deque, newest_first_to_the_owner_and_oldest_first_to_others) {
  work_stealing_deque<int> d(2);
  EXPECT_TRUE(d.empty());
  EXPECT_FALSE(d.try_pop() || d.try_steal());
  for (int i = 0; i < 100; ++i) d.push(i);
  EXPECT_EQ(d.size(), 100u);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(d.try_steal(), i);
    EXPECT_EQ(d.try_pop(), 99 - i);
  }
  EXPECT_TRUE(d.empty());
  EXPECT_FALSE(d.try_pop() || d.try_steal());
}

TEST(work_stealing_deque, an_absurd_capacity_is_refused_and_a_small_one_is_rounded_up) {
  EXPECT_THROW(work_stealing_deque<int>(work_stealing_deque<int>::max_capacity + 1), std::length_error);
  work_stealing_deque<int> d(0);
  for (int i = 0; i < 5; ++i) d.push(i);
  EXPECT_EQ(d.try_steal(), 0);
  EXPECT_EQ(d.try_pop(), 4);
}

TEST(work_stealing_deque, it_makes_no_more_allocations_than_rings_and_none_where_elements_stand_in_the_ring) {
  work_stealing_deque<std::array<short, 3>> d(64);
  const std::uint64_t before = allocations_made();
  for (short i = 0; i < 64; ++i) d.push({i, 2, 3});
  EXPECT_EQ(allocations_made(), before);
  d.push({64, 2, 3});
  EXPECT_EQ(allocations_made(), before + 2) << "a ring and its head";
  for (int round = 0; round < 1000; ++round) {
    d.push({7, 8, 9});
    EXPECT_EQ(d.try_pop(), (std::array<short, 3>{7, 8, 9}));
  }
  EXPECT_EQ(allocations_made(), before + 2) << "indices go on, the ring stays";
}

TEST(work_stealing_deque, elements_may_be_move_only_large_and_of_any_alignment) {
  work_stealing_deque<std::unique_ptr<int>> owned;
  owned.push(std::make_unique<int>(1));
  owned.push(std::make_unique<int>(2));
  EXPECT_EQ(**owned.try_steal(), 1);
  EXPECT_EQ(**owned.try_pop(), 2);

  struct alignas(256) aligned {
    int v;
  };
  work_stealing_deque<aligned> wide;
  for (int i = 0; i < 9; ++i) wide.push({i});
  for (int i = 8; i >= 0; --i) {
    const std::optional<aligned> a = wide.try_pop();
    ASSERT_TRUE(a);
    EXPECT_EQ(a->v, i);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&*a) % 256, 0u);
  }

  work_stealing_deque<std::array<char, 1024>> large(2);
  for (char c = 'a'; c <= 'z'; ++c) {
    std::array<char, 1024> element;
    element.fill(c);
    large.push(element);
  }
  EXPECT_EQ(large.try_steal()->back(), 'a');
  EXPECT_EQ(large.try_pop()->back(), 'z');

  struct no_default {
    explicit no_default(short x) : v(x) {}
    short v;
  };
  work_stealing_deque<no_default> small;
  small.push(no_default(-5));
  EXPECT_EQ(small.try_pop()->v, -5);
}

/// Counts its kind; its move throws when it is told to.
struct brittle {
  static inline std::atomic<int> live{0};
  static inline bool throws = false;
  explicit brittle(int i) : id(i) { ++live; }
  brittle(brittle&& o) : id(o.id) {
    if (throws) throw std::runtime_error("moved");
    ++live;
  }
  ~brittle() { --live; }
  int id;
};

TEST(work_stealing_deque, what_a_move_throws_goes_to_the_caller_and_that_element_is_gone) {
  {
    work_stealing_deque<brittle> d;
    for (int i = 0; i < 5; ++i) d.push(brittle(i));
    brittle one_more(5);
    brittle::throws = true;
    EXPECT_THROW(d.push(std::move(one_more)), std::runtime_error);
    EXPECT_EQ(d.size(), 5u) << "a push that throws has changed nothing";
    EXPECT_EQ(brittle::live.load(), 6);
    EXPECT_THROW(static_cast<void>(d.try_pop()), std::runtime_error);
    EXPECT_THROW(static_cast<void>(d.try_steal()), std::runtime_error);
    EXPECT_EQ(brittle::live.load(), 4) << "both were destroyed";
    brittle::throws = false;
    EXPECT_EQ(d.try_pop()->id, 3);
    EXPECT_EQ(d.try_steal()->id, 1);
    EXPECT_EQ(d.size(), 1u);
  }
  EXPECT_EQ(brittle::live.load(), 0) << "what was left ended with the deque";
}

class shared_work_stealing_deque : public behaviour {};
RUNNEL_EVERY_CALLER(shared_work_stealing_deque);

TEST_P(shared_work_stealing_deque, more_thieves_than_processors_lose_nothing_while_it_grows) {
  in_runtime([] {
    const std::size_t n = scaled(20'000);
    work_stealing_deque<std::unique_ptr<std::size_t>> d(2);
    std::vector<std::atomic<int>> taken(n);
    std::atomic<std::size_t> left{n};
    const auto count = [&](std::optional<std::unique_ptr<std::size_t>> v) {
      if (!v) return false;
      taken[**v].fetch_add(1);
      left.fetch_sub(1);
      return true;
    };
    std::vector<party> thieves;
    for (int i = 0; i < 16; ++i) {
      thieves.push_back(start([&] {
        while (left.load() != 0)
          if (!count(d.try_steal())) yield();
      }));
    }
    for (std::size_t i = 0; i < n; ++i) {
      d.push(std::make_unique<std::size_t>(i));
      if (i % 7 == 0) count(d.try_pop());
      if (i % 512 == 0) yield();
    }
    while (left.load() != 0)
      if (!count(d.try_pop())) yield();
    for (party& t : thieves) t.join();
    for (const auto& times : taken) ASSERT_EQ(times.load(), 1);
  });
}

TEST_P(shared_work_stealing_deque, another_one_may_become_the_owner) {
  in_runtime([] {
    work_stealing_deque<int> d(2);
    for (int i = 0; i < 10; ++i) d.push(i);
    start([&] {
      for (int i = 10; i < 20; ++i) d.push(i);
      EXPECT_EQ(d.try_pop(), 19);
    }).join();
    EXPECT_EQ(d.try_pop(), 18);
    EXPECT_EQ(d.size(), 18u);
  });
}

TEST_P(shared_work_stealing_deque, what_was_written_before_a_push_is_seen_by_who_takes_it) {
  in_runtime([] {
    const std::size_t n = scaled(5'000);
    struct job {
      std::size_t a = 0, b = 0;
    };
    std::vector<job> jobs(n);
    work_stealing_deque<job*> d(2);
    std::atomic<std::size_t> left{n};
    const auto look = [&](std::optional<job*> j) {
      if (!j) return false;
      EXPECT_EQ((*j)->a + 1, (*j)->b);
      (*j)->a = 0;  // a race, were it anybody else's as well
      left.fetch_sub(1);
      return true;
    };
    auto thief = start([&] {
      while (left.load() != 0)
        if (!look(d.try_steal())) yield();
    });
    for (std::size_t i = 0; i < n; ++i) {
      jobs[i] = {i, i + 1};
      d.push(&jobs[i]);
      if (i % 3 == 0) look(d.try_pop());
      if (i % 64 == 0) yield();
    }
    while (look(d.try_pop())) {
    }
    thief.join();
  });
}

}  // namespace
}  // namespace runnel::test
