// The lock-free queues: what holds for each of them, and what is particular to one.
#include "support/failing_allocation.hpp"
#include "support/fixture.hpp"
#include "support/queues.hpp"
#include "support/sequence_model.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using lockfree::mpmc_queue;
using lockfree::mpsc_queue;
using lockfree::spsc_queue;

static_assert(!std::is_copy_constructible_v<mpmc_queue<int>> && !std::is_move_constructible_v<spsc_queue<int>>);

class queue_laws : public behaviour {};
RUNNEL_EVERY_CALLER(queue_laws);

/// Producers of a flavour push `each` elements each, its consumers take them all. Each consumer must see the elements
/// of each
/// producer in order. An element is make(producer, n), and number_of() says the n.
template <class T, class Flavour, class Make, class Number>
void exchange(Flavour flavour, std::size_t capacity, int each, Make make, Number number_of,
              party (*start)(std::function<void()>)) {
  const auto q = make_queue<T>(flavour, capacity);
  std::atomic<int> left{flavour.producers * each};
  std::atomic<std::int64_t> sum{0};
  std::vector<party> parties;
  for (int who = 0; who < flavour.producers; ++who) {
    parties.push_back(start([&, who] {
      for (int n = 0; n < each; ++n) {
        T v = make(who, n);
        while (!try_push(*q, std::move(v))) yield();
      }
    }));
  }
  for (int i = 0; i < flavour.consumers; ++i) {
    parties.push_back(start([&] {
      std::array<int, 8> last;
      last.fill(-1);
      while (left.load() > 0) {
        auto v = q->try_pop();
        if (!v) {
          yield();
          continue;
        }
        const auto [who, n] = number_of(*v);
        EXPECT_GT(n, last[static_cast<std::size_t>(who)]) << "out of order";
        last[static_cast<std::size_t>(who)] = n;
        sum += n + 1;
        --left;
      }
    }));
  }
  for (party& p : parties) p.join();
  EXPECT_EQ(sum, std::int64_t{flavour.producers} * each * (each + 1) / 2) << "each exactly once";
  EXPECT_TRUE(q->empty() && q->size() == 0);
}

TEST_P(queue_laws, each_element_comes_out_once_and_in_order) {
  in_runtime([] {
    with_each_queue([](auto flavour) {
      for (std::size_t capacity : {1u, 3u, 64u}) {
        exchange<std::unique_ptr<std::pair<int, int>>>(
            flavour, capacity, static_cast<int>(scaled(100 + 30 * capacity)),
            [](int who, int n) { return std::make_unique<std::pair<int, int>>(who, n); },
            [](const auto& v) { return *v; }, &queue_laws::start);
      }
    });
  });
}

struct alignas(64) large {
  std::pair<int, int> number;
  std::array<unsigned char, 1000> content;
};

TEST_P(queue_laws, large_and_aligned_elements_arrive_whole) {
  in_runtime([] {
    with_each_queue([](auto flavour) {
      exchange<large>(
          flavour, 20, static_cast<int>(scaled(500)),
          [](int who, int n) {
            large v;
            v.number = {who, n};
            v.content.fill(static_cast<unsigned char>(n));
            return v;
          },
          [](const large& v) {
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&v) % 64, 0u);
            for (const unsigned char c : v.content) EXPECT_EQ(c, static_cast<unsigned char>(v.number.second));
            return v.number;
          },
          &queue_laws::start);
    });
  });
}

/// Counts its objects. Copies, moves and assignments throw while `armed` is 1; it is counted down by each.
struct brittle {
  explicit brittle(int v) : value(v) { ++alive; }
  brittle(const brittle& o) : value(o.value) { may_throw(), ++alive; }
  brittle(brittle&& o) noexcept(false) : value(std::exchange(o.value, -1)) {
    if (armed == 1) o.value = std::exchange(value, -1);
    may_throw(), ++alive;
  }
  brittle& operator=(const brittle& o) {
    may_throw();
    value = o.value;
    return *this;
  }
  brittle& operator=(brittle&& o) noexcept(false) {
    may_throw();
    value = std::exchange(o.value, -1);
    return *this;
  }
  ~brittle() { --alive; }

  static void may_throw() {
    if (armed > 0 && --armed == 0) throw std::runtime_error("brittle");
  }
  int value;
  static inline std::atomic<int> alive{0};
  static inline int armed = 0;
};

/// The same, but a move does not throw.
struct stiff : brittle {
  using brittle::brittle;
  stiff(const stiff&) = default;
  stiff(stiff&& o) noexcept : brittle(std::exchange(o.value, -1)) {}
  stiff& operator=(stiff&&) = default;
};

TEST_P(queue_laws, a_construction_that_throws_changes_nothing) {
  in_runtime([] {
    const auto laws = []<class T>(auto flavour, std::type_identity<T>) {
      const auto q = make_queue<T>(flavour, 3);
      ASSERT_TRUE(try_emplace(*q, 1));
      T second(2), moved(3);
      brittle::armed = 1;
      EXPECT_THROW(try_push(*q, std::as_const(second)), std::runtime_error);
      if constexpr (!std::is_nothrow_move_constructible_v<T>) {
        brittle::armed = 1;
        EXPECT_THROW(try_push(*q, std::move(moved)), std::runtime_error);
      }
      brittle::armed = 0;
      EXPECT_EQ(second.value, 2);
      EXPECT_EQ(moved.value, 3);
      EXPECT_TRUE(try_push(*q, std::as_const(second)) && try_push(*q, std::move(moved)));
      if constexpr (flavour.bounded) {
        EXPECT_EQ(q->size(), 3u);
        T another(4);
        EXPECT_FALSE(try_push(*q, std::as_const(another)) || try_push(*q, std::move(another)));
        EXPECT_EQ(another.value, 4) << "a value that is refused is left alone";
      }
      for (int i = 1; i <= 3; ++i) EXPECT_EQ(q->try_pop()->value, i);
      EXPECT_FALSE(q->try_pop());
      EXPECT_TRUE(q->empty());
    };
    with_each_queue([&](auto flavour) {
      laws(flavour, std::type_identity<brittle>());
      laws(flavour, std::type_identity<stiff>());
    });
    EXPECT_EQ(brittle::alive, 0);
  });
}

TEST_P(queue_laws, elements_that_are_left_end_with_the_queue) {
  in_runtime([] {
    with_each_queue([](auto flavour) {
      for (std::size_t n : {0u, 1u, 5u, 200u}) {
        const auto q = make_queue<std::shared_ptr<int>>(flavour, 200);
        const auto p = make_queue<brittle>(flavour, 200);
        for (int i = 0; i < 7; ++i) {  // so that they do not begin at the beginning
          EXPECT_TRUE(try_push(*q, std::make_shared<int>(i)) && q->try_pop());
          EXPECT_TRUE(try_emplace(*p, i) && p->try_pop());
        }
        for (std::size_t i = 0; i < n; ++i) EXPECT_TRUE(try_push(*q, std::make_shared<int>(1)) && try_emplace(*p, 1));
        EXPECT_EQ(brittle::alive, static_cast<int>(n));
        EXPECT_EQ(q->size(), n);
      }
      EXPECT_EQ(brittle::alive, 0);
    });
  });
}

TEST_P(queue_laws, every_history_could_be_a_sequential_one) {
  in_runtime([] {
    using model = history::queue_model;
    std::mt19937_64 random(seed());
    const auto draw = [&](std::uint32_t bound) { return static_cast<std::uint32_t>(random() % bound); };
    with_each_queue([&](auto flavour) {
      for (std::size_t round = scaled(200); round-- > 0;) {
        const std::size_t capacity = 1 + draw(4);
        const auto q = make_queue<int>(flavour, capacity);
        std::atomic<std::uint64_t> clock{0};
        std::vector<std::vector<model::event>> lanes;
        for (int n = 0; n < (flavour.producers == 1 ? 2 : 4); ++n) {
          auto lane = model::random_events(8, 100 * n, draw);
          // The first lane consumes where only one may, and pushes where others may besides.
          for (model::event& e : lane) {
            if (flavour.consumers == 1 && n > 0) e.what = model::kind::push;
            if (flavour.producers == 1 && n == 0) e.what = model::kind::pop;
          }
          lanes.push_back(std::move(lane));
        }
        std::vector<party> parties;
        for (auto& lane : lanes) {
          parties.push_back(start([&] {
            for (model::event& e : lane) {
              history::record<model>(*q, e, clock);
              if (e.argument % 3 == 0) yield();
            }
          }));
        }
        for (party& p : parties) p.join();
        model fresh;
        if (flavour.bounded) fresh.capacity = capacity;
        ASSERT_TRUE(history::linearizable<model>(history::joined(lanes), fresh));
      }
    });
  });
}

TEST_P(queue_laws, a_size_is_within_what_can_have_been) {
  in_runtime([] {
    with_each_queue([](auto flavour) {
      const auto q = make_queue<int>(flavour, 3);
      // To who is on neither side a one-to-one queue only promises its capacity.
      constexpr std::size_t most = std::is_same_v<decltype(flavour), one_to_one> ? 3 : 2;
      std::atomic<bool> over{false};
      auto both = start([&] {
        for (std::size_t i = scaled(3'000); i-- > 0;) {
          EXPECT_TRUE(try_push(*q, 1) && try_push(*q, 2));
          EXPECT_TRUE(q->try_pop() && q->try_pop());
          if (i % 64 == 0) yield();
        }
        over = true;
      });
      while (!over) {
        EXPECT_LE(q->size(), most);
        yield();
      }
      both.join();
      EXPECT_EQ(q->size(), 0u);
    });
  });
}

// ---- of one flavour

TEST(spsc_queue, batches_move_what_fits_and_say_how_many) {
  spsc_queue<std::unique_ptr<int>> q(3);
  std::vector<std::unique_ptr<int>> in;
  for (int i = 0; i < 5; ++i) in.push_back(std::make_unique<int>(i));
  std::vector<std::unique_ptr<int>> out(5);
  for (int round = 0; round < 4; ++round) {  // over the end of the ring
    EXPECT_EQ(q.try_push_n(std::span(in).first(2)), 2u);
    EXPECT_EQ(q.try_push_n(std::span(in).subspan(2)), 1u);
    EXPECT_NE(in[3], nullptr) << "what found no room is left alone";
    EXPECT_EQ(q.try_push_n(std::span(in).subspan(3)), 0u);
    EXPECT_EQ(q.try_pop_n(std::span(out).first(1)), 1u);
    EXPECT_EQ(q.try_pop_n(std::span(out).subspan(1)), 2u);
    EXPECT_EQ(q.try_pop_n(out), 0u);
    for (int i = 0; i < 3; ++i) {
      const auto k = static_cast<std::size_t>(i);
      EXPECT_EQ(*out[k], i);
      in[k] = std::move(out[k]);
    }
  }
}

TEST(spsc_queue, a_batch_in_which_a_move_throws_is_in_as_far_as_it_came) {
  {
    spsc_queue<brittle> q(4);
    std::vector<brittle> all;
    all.reserve(3);
    for (int i = 0; i < 3; ++i) all.emplace_back(i);
    brittle::armed = 2;
    EXPECT_THROW(q.try_push_n(all), std::runtime_error);
    EXPECT_EQ(q.size(), 1u);
    EXPECT_EQ(q.try_push_n(std::span(all).subspan(1)), 2u);
    brittle::armed = 2;
    EXPECT_THROW(q.try_pop_n(all), std::runtime_error);
    brittle::armed = 0;
    EXPECT_EQ(all[0].value, 0);
    EXPECT_EQ(q.size(), 1u) << "the one that could not be moved is gone";
    EXPECT_EQ(q.try_pop()->value, 2);
  }
  EXPECT_EQ(brittle::alive, 0);
}

TEST(mpsc_queue, a_queue_that_stays_short_allocates_nothing_and_a_burst_is_given_back) {
  mpsc_queue<int> q;
  const auto round = [&q](int n) {
    for (int i = 0; i < n; ++i) q.push(i);
    for (int i = 0; i < n; ++i) EXPECT_EQ(q.try_pop(), i);
  };
  for (int i = 0; i < 100; ++i) round(5);
  const auto made = allocations_made();
  for (int i = 0; i < 1'000; ++i) round(5);
  EXPECT_EQ(allocations_made(), made);
  const auto live = live_allocations();
  round(10'000);
  EXPECT_EQ(live_allocations(), live);
}

TEST(mpsc_queue, without_memory_a_push_leaves_the_value_and_the_queue_alone) {
  mpsc_queue<std::unique_ptr<int>, 4> q;
  std::vector<std::unique_ptr<int>> all;
  for (int i = 0; i < 20; ++i) all.push_back(std::make_unique<int>(i));
  std::size_t failures = 0;
  for (int i = 0; i < 20; ++i) {
    auto& v = all[static_cast<std::size_t>(i)];
    fail_allocation(1);
    try {
      q.push(std::move(v));
    } catch (const std::bad_alloc&) {
      ++failures;
      EXPECT_NE(v, nullptr);
      EXPECT_EQ(q.size(), static_cast<std::size_t>(i));
      q.push(std::move(v));
    }
    stop_failing();
  }
  EXPECT_EQ(failures, 6u) << "with the last slot of each segment of three";
  for (int i = 0; i < 20; ++i) EXPECT_EQ(**q.try_pop(), i);
}

#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
/// Its move pops from the queue that it comes out of.
struct greedy {
  greedy(void* q, void (*p)(void*)) : from(q), pop(p) {}
  greedy(greedy&& o) noexcept : from(o.from), pop(o.pop) {
    if (armed) pop(from);
  }
  void* from;
  void (*pop)(void*);
  static inline bool armed = false;
};

TEST(queue_death_test, two_pops_at_the_same_time_are_reported) {
  const auto reported = []<class Queue>(Queue& q) {
    ASSERT_TRUE(try_emplace(q, &q, +[](void* p) { static_cast<Queue*>(p)->try_pop(); }));
    EXPECT_DEATH((greedy::armed = true, q.try_pop()), "two pops at the same time");
  };
  spsc_queue<greedy> one(1);
  reported(one);
  mpsc_queue<greedy> many;
  reported(many);
}
#endif

}  // namespace
}  // namespace runnel::test
