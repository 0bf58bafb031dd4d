// condition_variable and semaphore: what is notified or released reaches somebody, and nothing is taken twice.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include <runnel/sync/condition_variable.hpp>
#include <runnel/sync/semaphore.hpp>

#include <memory>
#include <mutex>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;

// What the program looks at and is no part of it.
#define OUTSIDE __attribute__((no_sanitize("thread"), noinline))

constexpr runnel::time_point soon{std::chrono::nanoseconds(1000)};

TEST(condition_variable, what_changes_under_the_mutex_is_seen_by_who_waits_for_it) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    runnel::mutex m;
    runnel::condition_variable changed;
    int value = 0;
    model::thread t([&] {
      {
        const std::scoped_lock lock(m);
        value = 1;
      }
      changed.notify_one();
    });
    {
      std::unique_lock lock(m);
      changed.wait(lock, [&] { return value == 1; });
    }
    t.join();
  }));
}

TEST(condition_variable, who_gives_up_uses_up_no_notification) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 0}, [&] {
    around::world w;
    runnel::mutex m;
    runnel::condition_variable changed;
    int waiting = 0, woken = 0;
    const auto wait = [&](runnel::time_point until) {
      std::unique_lock lock(m);
      ++waiting;
      if (changed.wait_until(lock, until) == std::cv_status::no_timeout) ++woken;
    };
    model::thread hasty([&] { wait(soon); });
    model::thread patient([&] { wait(runnel::never); });
    model::wait_until([&]() OUTSIDE { return waiting == 2; });
    {
      const std::scoped_lock lock(m);  // both wait, or have given up
    }
    changed.notify_one();
    hasty.join();
    m.lock();
    const bool gone = woken == 1;  // to the hasty one, or to the patient one already
    m.unlock();
    if (gone) changed.notify_one();
    patient.join();
    check(woken >= 1, "somebody is woken");
    outcomes |= 1 << woken;
  }));
  EXPECT_EQ(outcomes, 2 | 4);
}

TEST(condition_variable, destroyed_once_all_are_notified) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    runnel::mutex m;
    auto changed = std::make_unique<runnel::condition_variable>();
    bool waits = false;
    model::thread hasty([&, one = changed.get()] {
      std::unique_lock lock(m);
      waits = true;
      static_cast<void>(one->wait_until(lock, soon));
    });
    model::wait_until([&]() OUTSIDE { return waits; });
    {
      const std::scoped_lock lock(m);  // it waits, or has given up
      changed->notify_all();
    }
    changed.reset();
    hasty.join();
  }));
}

TEST(semaphore, two_exclude_each_other) {
  expect_passes(explore(bounds{4, 3}, [] {
    around::world w;
    runnel::semaphore s(1);
    int shared = 0;
    const auto section = [&] {
      s.acquire();
      ++shared;
      s.release();
    };
    model::thread t(section);
    section();
    t.join();
    check(shared == 2, "an update was lost");
    check(s.available() == 1, "the permit is back");
  }));
}

TEST(semaphore, release_during_acquire) {
  expect_passes(explore(bounds{4, 2}, [] {
    around::world w;
    runnel::semaphore s(2, 10);
    model::thread t([&] { s.acquire(4); });
    s.release(8);
    t.join();
    check(s.available() == 6, "nothing is lost");
  }));
}

TEST(semaphore, two_releases_make_one_large_request_possible) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    runnel::semaphore s(0);
    int a = 0, b = 0;
    model::thread first([&] {
      a = 1;
      s.release();
    });
    model::thread second([&] {
      b = 1;
      s.release();
    });
    s.acquire(2);
    check(a == 1 && b == 1, "what happened before release() is visible");
    first.join(), second.join();
  }));
}

TEST(semaphore, a_large_request_that_gives_up_lets_the_small_one_through) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    runnel::semaphore s(1, 3);
    bool got = false;
    model::thread large([&] {
      got = s.try_acquire_until(soon, 2);
      if (got) s.release(2);
    });
    model::thread small([&] {
      s.acquire();
      s.release();
    });
    s.release();
    s.acquire();
    large.join(), small.join();
    check(s.available() == 1, "nothing is lost");
    outcomes |= 1 << got;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(semaphore, who_acquires_what_was_released_last_may_destroy_it) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto s = std::make_unique<runnel::semaphore>(0);
    model::thread t([one = s.get()] { one->release(); });
    s->acquire();
    s.reset();
    t.join();
  }));
}

TEST(semaphore, a_look_without_the_lock_finds_what_was_released) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    runnel::semaphore s(0);
    int value = 0;
    model::thread t([&] {
      value = 1;
      s.release();
    });
    if (s.try_acquire()) check(value == 1, "what happened before release() is visible");
    t.join();
  }));
}

TEST(semaphore, what_is_released_while_somebody_waits_is_seen_by_who_takes_it_without_the_lock) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 0}, [&] {
    around::world w;
    runnel::semaphore s(0);
    int value = 0;
    model::thread hasty([&] { static_cast<void>(s.try_acquire_until(soon, 2)); });
    model::thread giver([&] {
      value = 1;
      s.release();
    });
    const bool got = s.try_acquire();
    if (got) check(value == 1, "what happened before release() is visible");
    hasty.join(), giver.join();
    outcomes |= 1 << got;
  }));
  EXPECT_EQ(outcomes, 3);
}

}  // namespace
