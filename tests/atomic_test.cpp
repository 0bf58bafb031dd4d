// atomic, shared_var and choose() in the ordinary build: what they are made of, and nothing else.
#include "support/fixture.hpp"

#include <runnel/atomic.hpp>
#include <runnel/testing/choose.hpp>
#include <runnel/testing/shared_var.hpp>

#include <memory>
#include <set>

namespace runnel::test {
namespace {

static_assert(sizeof(runnel::atomic<std::uint32_t>) == 4);
static_assert(sizeof(shared_var<std::uint64_t>) == 8);

class atomic_test : public behaviour {};
RUNNEL_EVERY_CALLER(atomic_test);

TEST_P(atomic_test, operations_are_those_of_std) {
  in_runtime([] {
    runnel::atomic<int> n(5);
    EXPECT_EQ(n.exchange(6), 5);
    EXPECT_EQ(n.fetch_add(4), 6);
    EXPECT_EQ(n.fetch_sub(3, std::memory_order_relaxed), 10);
    EXPECT_EQ(n.fetch_or(8), 7);
    EXPECT_EQ(n.fetch_and(12), 15);
    int expected = 11;
    EXPECT_FALSE(n.compare_exchange(expected, 1, std::memory_order_acq_rel));
    EXPECT_EQ(expected, 12);
    EXPECT_TRUE(n.compare_exchange(expected, 1, std::memory_order_release));
    n.store(n.load(std::memory_order_acquire) + 1, std::memory_order_release);
    EXPECT_EQ(n.load(), 2);
  });
}

TEST_P(atomic_test, nothing_is_lost_among_several) {
  in_runtime([] {
    runnel::atomic<std::size_t> n(0);
    const std::size_t each = scaled(1000);
    std::vector<party> parties;
    for (int i = 0; i < 4; ++i)
      parties.push_back(start([&] {
        for (std::size_t k = 0; k < each; ++k) n.fetch_add(1, std::memory_order_relaxed);
      }));
    for (party& p : parties) p.join();
    EXPECT_EQ(n.load(), 4 * each);
  });
}

TEST_P(atomic_test, a_shared_var_is_a_variable) {
  in_runtime([] {
    shared_var<std::string> v("a");
    v.store(v.load() + "b");
    EXPECT_EQ(v.load(), "ab");
  });
}

TEST_P(atomic_test, every_choice_may_come) {
  in_runtime([] {
    std::set<std::uint32_t> seen;
    while (seen.size() < 3) seen.insert(testing::choose(3));
    EXPECT_EQ(*seen.rbegin(), 2u);
    EXPECT_THROW(testing::choose(0), misuse);
  });
}

}  // namespace
}  // namespace runnel::test
