// guarded: no way to the value but through the lock.
#include "support/fixture.hpp"

#include <runnel/sync/guarded.hpp>

#include <map>
#include <string>
#include <type_traits>
#include <vector>

namespace runnel::test {
namespace {

class guarded_laws : public behaviour {};
RUNNEL_EVERY_CALLER(guarded_laws);

TEST_P(guarded_laws, changes_exclude_each_other) {
  in_runtime([] {
    guarded<int> g(0);
    const std::size_t each = scaled(2'000);
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n) {
      parties.push_back(start([&, n] {
        for (std::size_t i = 0; i < each; ++i) {
          if (n % 2) {
            g.with([](int& v) { ++v; });
          } else {
            auto held = g.lock();
            ++*held;
          }
        }
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(*std::as_const(g).lock().operator->(), static_cast<int>(4 * each));
  });
}

TEST_P(guarded_laws, a_const_one_gives_a_const_value) {
  in_runtime([] {
    const guarded<std::vector<int>> g(std::in_place, 3u, 7);
    const auto held = g.lock();
    static_assert(std::is_same_v<decltype(*held), const std::vector<int>&>);
    EXPECT_EQ(held->size(), 3u);
  });
}

TEST_P(guarded_laws, with_returns_what_the_function_returns_and_unlocks_when_it_throws) {
  in_runtime([] {
    guarded<std::map<std::string, int>> g;
    EXPECT_TRUE(g.with([](auto& m) { return m.emplace("a", 1).second; }));
    EXPECT_THROW(g.with([](auto&) { throw std::runtime_error("in between"); }), std::runtime_error);
    EXPECT_EQ(std::as_const(g).with([](const auto& m) { return m.at("a"); }), 1);
    EXPECT_TRUE(g.try_lock().has_value());
  });
}

TEST_P(guarded_laws, a_guard_that_is_over_is_misuse) {
  in_runtime([] {
    guarded<int> g(1);
    auto first = g.lock();
    EXPECT_FALSE(g.try_lock());
    auto second = std::move(first);
    EXPECT_THROW(static_cast<void>(*first), misuse);
    EXPECT_EQ(*second, 1);
    second.unlock();
    EXPECT_THROW(static_cast<void>(second.operator->()), misuse);
    EXPECT_THROW(second.unlock(), misuse);
    second = g.lock();
    EXPECT_EQ(*second, 1);
  });
}

TEST_P(guarded_laws, lock_with_a_context_observes_it) {
  in_runtime([] {
    guarded<int> g(1);
    auto c = derive_cancel(context::current());
    c.cancel();
    EXPECT_THROW(static_cast<void>(g.lock(c.ctx)), canceled);
    EXPECT_TRUE(g.try_lock());
  });
}

}  // namespace
}  // namespace runnel::test
