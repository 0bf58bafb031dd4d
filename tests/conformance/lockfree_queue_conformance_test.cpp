// The lock-free queues: exact counts, exact capacities, life-cycles, moves that throw, wrapped counters.
#include "support/fixture.hpp"
#include "support/queues.hpp"

#include <atomic>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace runnel::test {
namespace {

using lockfree::mpmc_queue;
using lockfree::mpsc_queue;
using lockfree::spsc_queue;

class lockfree_queue_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(lockfree_queue_conformance);

template <class Queue>
void push_waiting(Queue& q, int v) {
  while (!try_push(q, v)) yield();
}

/// The numbers below n, from so many producers to so many consumers; what each consumer got, in its order.
template <class Queue>
std::vector<std::vector<int>> numbers_through(Queue& q, int n, int producers, int consumers, party (*start)(std::function<void()>)) {
  std::vector<std::vector<int>> got(static_cast<std::size_t>(consumers));
  std::atomic<int> left{n};
  std::vector<party> parties;
  for (int p = 0; p < producers; ++p) {
    parties.push_back(start([&, p] {
      for (int i = p; i < n; i += producers) push_waiting(q, i);
    }));
  }
  for (auto& mine : got) {
    parties.push_back(start([&] {
      while (left > 0) {
        if (const auto v = q.try_pop()) {
          mine.push_back(*v);
          --left;
        } else {
          yield();
        }
      }
    }));
  }
  for (party& p : parties) p.join();
  return got;
}

TEST_P(lockfree_queue_conformance, lockfree_01_the_sum_is_exact_and_the_queue_ends_empty) {
  in_runtime([] {
    const int n = static_cast<int>(scaled(10'000));
    for (const int side : {1, 2, 10}) {
      mpmc_queue<int> q(100);
      std::int64_t sum = 0;
      for (const auto& mine : numbers_through(q, n, side, side, &start))
        for (const int v : mine) sum += v;
      EXPECT_EQ(sum, std::int64_t{n} * (n - 1) / 2);
      EXPECT_TRUE(q.empty() && !q.try_pop());
    }
  });
}

TEST_P(lockfree_queue_conformance, lockfree_01_neighbour_the_one_consumer_sees_each_producers_numbers_rise) {
  in_runtime([] {
    const int n = static_cast<int>(scaled(10'000));
    for (const int producers : {1, 2, 10}) {
      mpsc_queue<int> q;
      std::vector<int> next;
      for (int p = 0; p < producers; ++p) next.push_back(p);
      const auto got = numbers_through(q, n, producers, 1, &start);
      for (const int v : got[0]) {
        int& expected = next[static_cast<std::size_t>(v % producers)];
        EXPECT_EQ(v, expected);
        expected += producers;
      }
      EXPECT_EQ(got[0].size(), static_cast<std::size_t>(n));
      EXPECT_TRUE(q.empty() && !q.try_pop());
    }
  });
}

/// Counts the steps of its life.
struct counted {
  counted() noexcept { ++made; }
  explicit counted(int) noexcept { ++made; }
  counted(const counted&) noexcept { ++copies; }
  counted(counted&&) noexcept { ++moves; }
  counted& operator=(const counted&) noexcept { return ++copy_assignments, *this; }
  counted& operator=(counted&&) noexcept { return ++move_assignments, *this; }
  ~counted() { ++ended; }
  static inline int made, copies, moves, copy_assignments, move_assignments, ended;
  static void forget() { made = copies = moves = copy_assignments = move_assignments = ended = 0; }
  static bool were(int mk, int cp, int mv, int ma, int e) {
    const bool so = made == mk && copies == cp && moves == mv && copy_assignments == 0 && move_assignments == ma && ended == e;
    forget();
    return so;
  }
};

TEST_P(lockfree_queue_conformance, lockfree_03_a_write_is_one_step_of_life_and_a_read_is_two) {
  in_runtime([] {
    with_each_queue([](auto flavour) {
      const auto q = make_queue<counted>(flavour, 4);
      counted v, out;
      counted::forget();
      EXPECT_TRUE(try_push(*q, std::as_const(v)));
      EXPECT_TRUE(counted::were(0, 1, 0, 0, 0)) << "one copy";
      EXPECT_TRUE(try_push(*q, std::move(v)));
      EXPECT_TRUE(counted::were(0, 0, 1, 0, 0)) << "one move";
      EXPECT_TRUE(try_emplace(*q, 7));
      EXPECT_TRUE(counted::were(1, 0, 0, 0, 0)) << "made in place";
      for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(q->try_pop(out));
        EXPECT_TRUE(counted::were(0, 0, 0, 1, 1)) << "one move-assign, one destruction";
      }
      EXPECT_FALSE(q->try_pop(out));
      EXPECT_TRUE(counted::were(0, 0, 0, 0, 0));
    });
  });
}

TEST_P(lockfree_queue_conformance, lockfree_03_neighbour_what_is_refused_costs_no_step_and_an_optional_one_move) {
  in_runtime([] {
    with_each_bounded_queue([](auto flavour) {
      const auto q = make_queue<counted>(flavour, 1);
      counted v;
      ASSERT_TRUE(try_emplace(*q, 7));
      counted::forget();
      EXPECT_FALSE(try_push(*q, std::as_const(v)) || try_push(*q, std::move(v)) || try_emplace(*q, 7));
      EXPECT_TRUE(counted::were(0, 0, 0, 0, 0));
      {
        const std::optional<counted> got = q->try_pop();
        EXPECT_TRUE(got && counted::were(0, 0, 1, 0, 1)) << "one move, one destruction";
      }
      counted::forget();
      EXPECT_FALSE(q->try_pop());
      EXPECT_TRUE(counted::were(0, 0, 0, 0, 0));
    });
  });
}

TEST_P(lockfree_queue_conformance, lockfree_05_no_capacity_is_refused_and_odd_ones_are_exact) {
  in_runtime([] {
    with_each_bounded_queue([](auto flavour) {
      try {
        make_queue<int>(flavour, 0);
        ADD_FAILURE() << "no exception";
      } catch (const misuse& e) {
        EXPECT_NE(std::string_view(e.what()).find("capacity of 0"), std::string_view::npos) << e.what();
      }
      for (const int capacity : {1, 3}) {
        const auto q = make_queue<int>(flavour, static_cast<std::size_t>(capacity));
        EXPECT_EQ(q->capacity(), static_cast<std::size_t>(capacity));
        for (int round = 0; round < 10; ++round) {
          for (int i = 0; i < capacity; ++i) EXPECT_TRUE(q->try_push(i));
          EXPECT_FALSE(q->try_push(99));
          EXPECT_EQ(q->size(), q->capacity());
          for (int i = 0; i < capacity; ++i) EXPECT_EQ(q->try_pop(), i);
          EXPECT_EQ(q->try_pop(), std::nullopt);
        }
      }
    });
  });
}

TEST_P(lockfree_queue_conformance, lockfree_05_neighbour_a_capacity_beyond_all_memory_is_a_length_error) {
  in_runtime([] {
    with_each_bounded_queue([](auto flavour) {
      for (const std::size_t capacity : {~std::size_t{0}, ~std::size_t{0} / 2, ~std::size_t{0} / sizeof(int)}) {
        try {
          make_queue<int>(flavour, capacity);
          ADD_FAILURE() << "no exception";
        } catch (const std::length_error& e) {
          EXPECT_NE(std::string_view(e.what()).find(std::to_string(capacity)), std::string_view::npos) << e.what();
        }
      }
    });
  });
}

/// Leaves the queue with an exception when its number is a multiple of three.
struct sticky {
  explicit sticky(int n) noexcept : number(n) { ++alive; }
  sticky(sticky&& o) noexcept(false) : number(o.number) { check(), ++alive; }
  sticky& operator=(sticky&& o) noexcept(false) {
    number = o.number;
    check();
    return *this;
  }
  ~sticky() { --alive; }
  void check() const {
    if (armed && number % 3 == 0) throw std::runtime_error("sticky");
  }
  int number;
  static inline bool armed = false;
  static inline std::atomic<int> alive{0};
};

template <class Pop>
void pops_that_throw(Pop pop) {
  with_each_queue([&](auto flavour) {
    const auto q = make_queue<sticky>(flavour, 8);
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(try_emplace(*q, i));
    sticky out(-1);
    sticky::armed = true;
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(q->size(), static_cast<std::size_t>(8 - i));
      EXPECT_EQ(sticky::alive, 9 - i);
      if (i % 3 == 0) {
        EXPECT_THROW(pop(*q, out), std::runtime_error);
      } else {
        EXPECT_EQ(pop(*q, out), i);
      }
    }
    sticky::armed = false;
    EXPECT_TRUE(q->empty() && !q->try_pop());
  });
  EXPECT_EQ(sticky::alive, 0);
}

TEST_P(lockfree_queue_conformance, lockfree_07_a_move_assign_that_throws_costs_that_element_alone) {
  in_runtime([] {
    pops_that_throw([](auto& q, sticky& out) { return q.try_pop(out) ? out.number : -1; });
  });
}

TEST_P(lockfree_queue_conformance, lockfree_07_neighbour_so_does_a_construction_of_the_result) {
  in_runtime([] {
    pops_that_throw([](auto& q, sticky&) {
      const std::optional<sticky> got = q.try_pop();
      return got ? got->number : -1;
    });
  });
}

// The counters begin just under their maximum: so many laps, or segments, are said to be over.
struct wrapping_mpmc : mpmc_queue<int> {
  explicit wrapping_mpmc(std::size_t capacity) : mpmc_queue(capacity, ~std::uint64_t{0} - 2) {}
};
struct wrapping_mpsc : mpsc_queue<int> {
  explicit wrapping_mpsc(std::size_t) : mpsc_queue(~std::uint64_t{0} - 2) {}
};
struct wrapping_spsc : spsc_queue<int> {
  explicit wrapping_spsc(std::size_t capacity) : spsc_queue(capacity, capacity) {}  // at the last cell
};

template <class F>
void with_each_wrapping(F f) {
  for (const std::size_t capacity : {5u, 8u}) {
    f(wrapping_mpmc(capacity));
    f(wrapping_mpsc(capacity));
    f(wrapping_spsc(capacity));
  }
}

TEST_P(lockfree_queue_conformance, lockfree_09_counters_that_wrap_keep_order_and_size) {
  in_runtime([] {
    with_each_wrapping([](auto&& q) {
      int in = 0, out = 0;
      while (out < 1'000) {
        for (int n = 1 + in % 5; n-- > 0; ++in) EXPECT_TRUE(try_push(q, in));
        EXPECT_EQ(q.size(), static_cast<std::size_t>(in - out));
        while (out < in) EXPECT_EQ(q.try_pop(), out++);
        EXPECT_TRUE(q.empty() && !q.try_pop());
      }
    });
  });
}

TEST_P(lockfree_queue_conformance, lockfree_09_neighbour_also_with_producer_and_consumer_at_the_same_time) {
  in_runtime([] {
    with_each_wrapping([](auto&& q) {
      const auto got = numbers_through(q, 100, 1, 1, &start);
      for (int i = 0; i < 100; ++i) EXPECT_EQ(got[0][static_cast<std::size_t>(i)], i);
    });
  });
}

TEST_P(lockfree_queue_conformance, lockfree_11_who_pushes_and_then_pops_never_finds_it_empty) {
  in_runtime([] {
    mpmc_queue<int> q(4);
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n) {
      parties.push_back(start([&] {
        for (std::size_t i = scaled(25'000); i-- > 0;) {
          ASSERT_TRUE(q.try_push(1));
          ASSERT_TRUE(q.try_pop());
          if (i % 256 == 0) yield();
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_TRUE(q.empty());
  });
}

TEST_P(lockfree_queue_conformance, lockfree_11_neighbour_who_pops_and_then_pushes_never_finds_it_full) {
  in_runtime([] {
    mpmc_queue<int> q(4);
    while (q.try_push(1)) {
    }
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n) {
      parties.push_back(start([&] {
        for (std::size_t i = scaled(25'000); i-- > 0;) {
          ASSERT_TRUE(q.try_pop());
          ASSERT_TRUE(q.try_push(1));
          if (i % 256 == 0) yield();
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(q.size(), 4u);
  });
}

}  // namespace
}  // namespace runnel::test
