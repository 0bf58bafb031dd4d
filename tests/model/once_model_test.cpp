// once_core: who sees it done sees what was done, one runs at a time, and nobody waits for ever.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include <runnel/sync/lazy.hpp>
#include <runnel/sync/once.hpp>

#include <memory>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;

TEST(once, two_callers_and_one_run) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    runnel::once o;
    int made = 0;
    const auto use = [&] {
      o.call([&] { ++made; });
      check(made == 1, "what the run did is visible");
    };
    model::thread t(use);
    use();
    t.join();
  }));
}

TEST(once, who_looks_later_sees_it_without_a_lock) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    runnel::once o;
    int made = 0;
    model::thread t([&] { o.call([&] { made = 1; }); });
    if (o.done()) check(made == 1, "what the run did is visible");
    t.join();
  }));
}

TEST(once, three_callers_of_whom_two_fail) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    runnel::once o;
    int runs = 0, made = 0;
    const auto use = [&] {
      try {
        o.call([&] {
          if (++runs < 3) throw 1;
          made = 1;
        });
        check(made == 1, "what the run did is visible");
      } catch (int) {
      }
    };
    model::thread a(use), b(use);
    use();
    a.join(), b.join();
    check(runs == 3 && o.done(), "each failure is followed by a run");
  }));
}

TEST(lazy, who_gives_up_leaves_the_value_to_the_others) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    int runs = 0;
    runnel::lazy<int> l([&] {
      ++runs;
      return 7;
    });
    auto d = runnel::derive_cancel(runnel::context::background());
    const auto use = [&] {
      try {
        check(l.get() == 7, "another value");
        return 1;
      } catch (const runnel::canceled&) {
        return 2;
      }
    };
    int got = 0;
    model::thread t([&] {
      const runnel::context_scope scope(d.ctx);
      got = use();
    });
    model::thread canceler([&] { d.cancel.cancel(); });
    const int mine = use();
    t.join();
    canceler.join();
    check(mine == 1 && runs == 1, "one of the two has run it");
    outcomes |= 1 << got;
  }));
  EXPECT_EQ(outcomes, 6);
}

}  // namespace
