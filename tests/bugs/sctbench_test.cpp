// Programs of the SCTBench collection (Thomson, Donaldson, Betts, "Concurrency Testing Using Controlled Schedulers", 2016,
// https://doi.org/10.1145/2858651), written anew: bugs that need rare orders. The default strategy has to find each.
#include <runnel/atomic.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/explore.hpp>

#include <gtest/gtest.h>

#include <iostream>
#include <optional>

namespace runnel::test {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

template <class F>
void found(F body) {
  const auto r = explore({.schedules = 10'000}, body);
  ASSERT_EQ(r.verdict, verdict::exception) << "after " << r.schedules << " schedules";
  EXPECT_THROW(replay(r.token, body), std::runtime_error);
  std::cout << "found after " << r.schedules << " schedules\n";
}

template <class F>
void not_found(F body) {
  const auto r = explore({.schedules = 200}, body);
  EXPECT_FALSE(r.failed) << r.trace;
}

/// Setters change two variables one after the other; the checker runs last and must not see one without the other.
auto reorder(int setters, bool with_lock) {
  return [=] {
    mutex m;
    atomic<int> a(0), b(0);
    wait_group group;
    auto locked = [&](auto f) {
      std::optional<std::lock_guard<mutex>> hold;
      if (with_lock) hold.emplace(m);
      f();
    };
    bool broken = false;
    for (int i = 0; i < setters; ++i)
      group.go([&] {
        locked([&] {
          a.store(1);
          b.store(-1);
        });
      });
    group.go([&] {
      locked([&] {
        const int x = a.load(), y = b.load();
        broken = !((x == 0 && y == 0) || (x == 1 && y == -1));
      });
    });
    group.wait();
    require(!broken, "half a change is seen");
  };
}

TEST(sctbench, reorder_3) {
  found(reorder(2, false));
  not_found(reorder(2, true));
}
TEST(sctbench, reorder_5) { found(reorder(4, false)); }
TEST(sctbench, reorder_20) {
  found(reorder(19, false));
  not_found(reorder(19, true));
}

#if !defined(RUNNEL_TSAN)  // `b = a + 1` reads a under the wrong lock: a race, and part of the program

/// Writers change one variable under one lock and then another under a second one; the reader takes them one by one, too.
auto twostage(int writers, bool at_once) {
  return [=] {
    mutex first, second;
    int a = 0, b = 0;
    bool broken = false;
    wait_group group;
    for (int i = 0; i < writers; ++i)
      group.go([&] {
        std::unique_lock one(first);
        a = 1;
        if (!at_once) one.unlock();
        const std::lock_guard two(second);
        b = a + 1;
      });
    group.go([&] {
      std::unique_lock one(first);
      if (a == 0) return;
      const int seen = a;
      if (!at_once) one.unlock();
      const std::lock_guard two(second);
      broken = b != seen + 1;
    });
    group.wait();
    require(!broken, "half a change is seen");
  };
}

TEST(sctbench, twostage_2) {
  found(twostage(1, false));
  not_found(twostage(1, true));
}
TEST(sctbench, twostage_20) {
  found(twostage(19, false));
  not_found(twostage(19, true));
}
#endif

/// A driver is stopped between its look at the flag and its announcement that it works.
auto bluetooth_driver(bool announces_first) {
  return [=] {
    atomic<bool> stopping(false), stopped(false);
    atomic<int> pending(1);
    auto leave = [&] {
      if (pending.fetch_sub(1) == 1) stopped.store(true);
    };
    auto stopper = go([&] {
      stopping.store(true);
      leave();
    });
    if (announces_first || !stopping.load()) {
      pending.fetch_add(1);
      if (announces_first && stopping.load()) {
        leave();
        return;
      }
      require(!stopped.load(), "works after its end");
      leave();
    }
    stopper.get();
  };
}

TEST(sctbench, bluetooth_driver) {
  found(bluetooth_driver(false));
  not_found(bluetooth_driver(true));
}

}  // namespace
}  // namespace runnel::test
