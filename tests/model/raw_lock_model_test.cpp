// raw_lock: exclusion, order, and no sleeper is left behind.
#include "checker/expect.hpp"

#include <runnel/base/raw_lock.hpp>

#include <memory>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using runnel::detail::raw_guard;
using runnel::detail::raw_lock;

TEST(raw_lock, two_threads_exclude_each_other) {
  expect_passes(explore(bounds{6, 6, 1}, [] {
    raw_lock lock;
    int shared = 0;
    model::var<int> watched(0);
    const auto section = [&] {
      const raw_guard hold(lock);
      ++shared;
      watched.set(watched.get() + 1);
    };
    model::thread t(section);
    section();
    t.join();
    check(shared == 2 && watched.get() == 2, "an update was lost");
  }));
}

TEST(raw_lock, three_threads_and_none_is_left_asleep) {
  expect_passes(explore(bounds{3, 2}, [] {
    raw_lock lock;
    model::var<int> shared(0);
    const auto section = [&] {
      const raw_guard hold(lock);
      shared.set(shared.get() + 1);
    };
    model::thread t(section), u(section);
    section();
    t.join(), u.join();
    check(shared.get() == 3, "an update was lost");
  }));
}

TEST(raw_lock, twice_each) {
  expect_passes(explore(bounds{5, 3}, [] {
    raw_lock lock;
    model::var<int> shared(0);
    const auto sections = [&] {
      for (int i = 0; i < 2; ++i) {
        const raw_guard hold(lock);
        shared.set(shared.get() + 1);
      }
    };
    model::thread t(sections);
    sections();
    t.join();
    check(shared.get() == 4, "an update was lost");
  }));
}

TEST(raw_lock, try_lock_orders_what_it_gets) {
  expect_passes(explore(bounds{6, 6}, [] {
    raw_lock lock;
    model::var<int> shared(0);
    int got = 0;
    model::thread t([&] {
      const raw_guard hold(lock);
      shared.set(shared.get() + 1);
    });
    if (lock.try_lock()) {
      shared.set(shared.get() + 1);
      ++got;
      lock.unlock();
    }
    t.join();
    check(shared.get() == 1 + got, "an update was lost");
  }));
}

TEST(raw_lock, the_last_to_unlock_may_destroy_it) {
  expect_passes(explore(bounds{6, 6}, [] {
    struct object {
      raw_lock lock;
      int users = 2;
    };
    auto* o = new object;
    const auto leave = [&] {
      raw_guard hold(o->lock);
      const bool last = --o->users == 0;
      hold.unlock();
      if (last) delete o;
    };
    model::thread t(leave);
    leave();
  }));
}

}  // namespace
