// RCU as other libraries test theirs. lockfree-27: tests/explore/rcu_test.cpp.
#include "meeting.hpp"
#include "support/fixture.hpp"

#include <runnel/lockfree/rcu.hpp>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace runnel::test {
namespace {

class rcu_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(rcu_conformance);

/// Says when it ends.
struct mortal {
  explicit mortal(std::atomic<bool>& f) : ended(&f) {}
  mortal(mortal&& o) noexcept : ended(std::exchange(o.ended, nullptr)) {}
  ~mortal() {
    if (ended) *ended = true;
  }
  std::atomic<bool>* ended;
};

/// A thread that is in a read section until it is told to leave.
class slow_reader {
 public:
  slow_reader()
      : thread_([this] {
          const std::scoped_lock section(rcu_default_domain());
          began_ = true;
          while (!leave_) std::this_thread::yield();
          left_ = true;
        }) {
    while (!began_) std::this_thread::yield();
  }
  void leave() { leave_ = true; }
  bool left() const { return left_; }

 private:
  std::atomic<bool> began_{false}, leave_{false}, left_{false};
  std::jthread thread_;
};

TEST_P(rcu_conformance, lockfree_23_synchronize_waits_for_a_reader_that_began_before_it) {
  in_runtime([this] {
    slow_reader reader;
    std::atomic<bool> returned{false};
    auto writer = start([&] {
      rcu_synchronize();
      EXPECT_TRUE(reader.left());
      returned = true;
    });
    until_waiting(1);
    EXPECT_FALSE(returned);
    reader.leave();
    writer.join();
  });
}

TEST_P(rcu_conformance, lockfree_23_a_retired_object_lives_as_long_as_a_guard_that_was_moved_out_of_a_function) {
  in_runtime([] {
    std::atomic<bool> ended{false}, second_ended{false}, third_ended{false};
    rcu<mortal> cell{mortal(ended)};
    auto reader = start([&] {
      const auto take = [&] {
        auto inner = cell.read();
        return inner;
      };
      const auto guard = take();
      std::thread([&] {
        cell.store(mortal(second_ended));
        cell.update([&](const mortal&) { return mortal(third_ended); });
      }).join();
      EXPECT_FALSE(ended);
      EXPECT_EQ(guard->ended, &ended);
    });
    reader.join();
    rcu_barrier();
    EXPECT_TRUE(ended && second_ended);
    EXPECT_FALSE(third_ended) << "it is the present one";
  });
}

TEST_P(rcu_conformance, lockfree_23_neighbour_synchronize_does_not_wait_for_a_reader_that_began_behind_it) {
  in_runtime([] {
    rcu_synchronize();
    slow_reader first;
    auto writer = start([] { rcu_synchronize(); });
    // While the writer waits, others come and go; none of them is waited for.
    for (int i = 0; i < 1'000; ++i) {
      const std::scoped_lock section(rcu_default_domain());
      const std::scoped_lock inner(rcu_default_domain());
    }
    first.leave();
    writer.join();
    EXPECT_TRUE(first.left());
  });
}

TEST_P(rcu_conformance, lockfree_25_a_deleter_that_synchronizes_and_retires_neither_hangs_nor_recurs) {
  in_runtime([] {
    constexpr int generations = 20'000;
    static std::atomic<int> ended;
    struct heir : rcu_obj_base<heir> {
      explicit heir(int g) : generation(g) {}
      ~heir() {
        if (generation % 64 == 0) rcu_synchronize();
        ++ended;
        if (generation > 0) (new heir(generation - 1))->retire();
      }
      int generation;
    };
    ended = 0;
    const int first = static_cast<int>(scaled(generations));
    (new heir(first))->retire();
    while (ended <= first) rcu_barrier();
    EXPECT_EQ(ended, first + 1);
  });
}

TEST(rcu_conformance, lockfree_25_deeply_nested_sections_on_many_threads) {
  constexpr int depth = 8'192;
  meeting begin(32);
  std::vector<std::jthread> threads;
  std::atomic<int> wrong{0};
  rcu<int> cell(1);
  for (int n = 0; n < 32; ++n)
    threads.emplace_back([&] {
      begin.arrive();
      std::vector<rcu_guard<int>> guards;
      for (int i = 0; i < depth; ++i) guards.push_back(cell.read());
      for (const auto& g : guards) wrong += *g != 1 && *g != 2;
      while (!guards.empty()) guards.pop_back();
    });
  cell.store(2);
  rcu_synchronize();
  threads.clear();
  EXPECT_EQ(wrong, 0);
  rcu_barrier();
}

TEST_P(rcu_conformance, lockfree_25_neighbour_a_deleter_may_wait_and_others_delete_meanwhile) {
  in_runtime([] {
    channel<int> allowed;
    std::atomic<int> ended{0};
    int slow = 0, quick = 0;
    rcu_retire(&slow, [&](int*) {
      allowed.receive();
      ++ended;
    });
    auto first = start([&] {
      rcu_barrier();
      EXPECT_GE(ended, 1);
    });
    auto second = start([&] {
      rcu_retire(&quick, [&](int*) { ++ended; });
      allowed.send(1);
      rcu_barrier();
      EXPECT_EQ(ended, 2);
    });
    second.join();
    first.join();
    rcu_barrier();
  });
}

}  // namespace
}  // namespace runnel::test
