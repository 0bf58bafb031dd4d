// Reclamation: hazard pointers under a stack, and by themselves.
#include "support/fixture.hpp"

#include <runnel/lockfree/hazard_pointer.hpp>
#include <runnel/lockfree/stack.hpp>
#include <runnel/sync/event.hpp>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace runnel::test {
namespace {

class lockfree_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(lockfree_conformance);

/// Knows how many of its kind there are, and which threads end them.
struct tracked : hazard_pointer_obj_base<tracked> {
  tracked() { ++live; }
  ~tracked() {
    --live;
    if (std::this_thread::get_id() != retired_by) ++elsewhere;
  }
  const std::thread::id retired_by = std::this_thread::get_id();
  static inline std::atomic<int> live{0}, elsewhere{0};
};

TEST_P(lockfree_conformance, lockfree_19_who_pushes_and_pops_something_pops_all_that_is_pushed) {
  in_runtime([] {
    for (const unsigned takers : {1u, 2u, 8u}) {
      const std::uint64_t n = scaled(20'000) / takers * takers;
      lockfree::stack<std::uint64_t> s;
      std::atomic<std::uint64_t> sum{0};
      std::vector<party> parties;
      for (unsigned t = 0; t < takers; ++t) {
        parties.push_back(start([&, t] {
          std::uint64_t mine = 0;
          for (std::uint64_t j = t; j < n; j += takers) {
            s.push(j);
            mine += s.try_pop().value();
            if (j % 64 == t) yield();
          }
          sum += mine;
        }));
      }
      for (party& p : parties) p.join();
      EXPECT_EQ(sum, n * (n - 1) / 2);
      EXPECT_TRUE(s.empty());
    }
  });
}

TEST_P(lockfree_conformance, lockfree_19_neighbour_one_side_pushes_and_the_other_empties_it) {
  in_runtime([] {
    const std::uint64_t each = scaled(20'000);
    lockfree::stack<std::vector<std::uint64_t>> s;  // with memory of its own, for ASan
    std::atomic<std::uint64_t> sum{0}, left{4 * each};
    std::vector<party> parties;
    for (unsigned t = 0; t < 4; ++t) {
      parties.push_back(start([&, t] {
        for (std::uint64_t j = 0; j < each; ++j) s.emplace(1u, t * each + j);
      }));
      parties.push_back(start([&] {
        while (left != 0) {
          if (const auto v = s.try_pop()) {
            sum += v->front();
            --left;
          } else {
            yield();
          }
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(sum, 4 * each * (4 * each - 1) / 2);
    EXPECT_FALSE(s.try_pop());
  });
}

TEST_P(lockfree_conformance, lockfree_21_whoever_retires_more_than_the_bound_runs_the_destructors) {
  in_runtime([] {
    std::atomic<int> most{0};
    tracked::elsewhere = 0;
    std::vector<party> parties;
    for (int t = 0; t < 5; ++t) {
      parties.push_back(start([&] {
        for (int i = 0; i < 5'000; ++i) {
          (new tracked)->retire();
          const int seen = tracked::live;
          for (int m = most; seen > m && !most.compare_exchange_weak(m, seen);) {
          }
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_LE(most, 5 * 1024) << "the bound: 1,024 for each thread";
    EXPECT_EQ(tracked::elsewhere, 0) << "inline, on the thread that has retired it";
  });
  EXPECT_EQ(tracked::live, 0) << "when the threads have ended";
}

TEST_P(lockfree_conformance, lockfree_21_neighbour_what_others_protect_waits_without_stopping_the_rest) {
  in_runtime([] {
    event all_hold, over;
    std::atomic<int> holders{0};
    std::atomic<tracked*> src{new tracked};
    std::vector<party> parties;
    for (int t = 0; t < 4; ++t) {
      parties.push_back(start([&] {
        hazard_pointer h = make_hazard_pointer();
        const tracked* const p = h.protect(src);
        if (++holders == 4) all_hold.set();
        over.wait();
        EXPECT_NE(p->retired_by, std::thread::id()) << "still there";
      }));
    }
    all_hold.wait();
    for (int i = 0; i < 10'000; ++i) {
      src.exchange(new tracked)->retire();
      EXPECT_LE(tracked::live, 1 + 1024);
    }
    over.set();
    for (party& p : parties) p.join();
    hazard_pointer_clean_up();
    src.load()->retire();
  });
  EXPECT_EQ(tracked::live, 0);
}

}  // namespace
}  // namespace runnel::test
