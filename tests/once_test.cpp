// once and lazy: one runs, all get what came of it; what an exception, a cancellation or a misuse leaves.
#include "support/fixture.hpp"

#include <runnel/sync/lazy.hpp>
#include <runnel/sync/once.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class once_laws : public behaviour {};
RUNNEL_EVERY_CALLER(once_laws);

TEST_P(once_laws, all_return_behind_the_one_run_and_see_what_it_did) {
  in_runtime([] {
    for (std::size_t round = scaled(200); round-- > 0;) {
      once o;
      int runs = 0, made = 0;  // not atomic: the once orders them
      std::vector<party> parties;
      for (int n = 0; n < 8; ++n) {
        parties.push_back(start([&] {
          o.call([&] {
            ++runs;
            yield();
            made = 7;
          });
          EXPECT_EQ(made, 7);
          EXPECT_TRUE(o.done());
        }));
      }
      for (party& p : parties) p.join();
      EXPECT_EQ(runs, 1);
    }
  });
}

TEST_P(once_laws, who_waits_is_not_canceled_and_the_function_may_be) {
  in_runtime([this] {
    once o;
    channel<unit> gate;
    auto c = derive_cancel(context::current());
    std::atomic<int> second_runs{0};
    std::atomic<bool> first_canceled{false};
    auto first = start([&, ctx = c.ctx] {
      const context_scope scope(ctx);
      try {
        o.call([&] { gate.receive(); });
      } catch (const canceled&) {
        first_canceled = true;
      }
    });
    until_waiting(1);
    auto second = start([&, ctx = c.ctx] {
      const context_scope scope(ctx);
      o.call([&] { second_runs.fetch_add(1); });  // it does not block, so it does not look
    });
    until_waiting(2);
    c.cancel();
    first.join();
    second.join();
    EXPECT_TRUE(first_canceled);
    EXPECT_EQ(second_runs, 1) << "what was canceled has not been done";
  });
}

TEST_P(once_laws, a_result_of_the_function_is_dropped_and_a_move_only_function_is_taken) {
  in_runtime([] {
    once o;
    auto owned = std::make_unique<int>(5);
    int seen = 0;
    o.call([&seen, p = std::move(owned)]() noexcept { return seen = *p; });
    EXPECT_EQ(seen, 5);
    o.call([&]() -> int { throw std::logic_error("not called again"); });
  });
}

TEST_P(once_laws, lazy_gives_all_the_same_object) {
  in_runtime([] {
    for (std::size_t round = scaled(200); round-- > 0;) {
      int runs = 0;
      lazy<std::string> l([&] {
        ++runs;
        yield();
        return "made";
      });
      EXPECT_FALSE(l.done());
      std::atomic<const std::string*> where{nullptr};
      std::vector<party> parties;
      for (int n = 0; n < 8; ++n) {
        parties.push_back(start([&] {
          const std::string& s = l.get();
          EXPECT_EQ(s, "made");
          const std::string* before = where.exchange(&s);
          EXPECT_TRUE(!before || before == &s);
        }));
      }
      for (party& p : parties) p.join();
      EXPECT_EQ(runs, 1);
      EXPECT_TRUE(l.done());
    }
  });
}

TEST_P(once_laws, lazy_remembers_no_cancellation_and_the_next_one_computes) {
  in_runtime([this] {
    channel<int> source;
    int runs = 0;
    lazy<int> l([&] {
      ++runs;
      return source.receive().value();
    });
    auto c = derive_cancel(context::current());
    std::atomic<bool> first_canceled{false};
    auto first = start([&, ctx = c.ctx] {
      const context_scope scope(ctx);
      try {
        l.get();
      } catch (const canceled&) {
        first_canceled = true;
      }
    });
    until_waiting(1);
    auto second = start([&] { EXPECT_EQ(l.get(), 3); });
    until_waiting(2);
    c.cancel();
    first.join();
    EXPECT_TRUE(first_canceled);
    source.send(3);
    second.join();
    EXPECT_EQ(l.get(), 3);
    EXPECT_EQ(runs, 2);
  });
}

TEST_P(once_laws, a_time_limit_inside_the_function_is_an_error_like_any_other) {
  in_runtime([] {
    int runs = 0;
    lazy<int> l([&]() -> int {
      ++runs;
      with_timeout(1us, [] { sleep_for(1h); });
      return 1;
    });
    EXPECT_THROW(l.get(), deadline_exceeded);
    EXPECT_THROW(l.get(), deadline_exceeded) << "it is remembered";
    EXPECT_EQ(runs, 1);
  });
}

TEST_P(once_laws, who_waits_for_a_lazy_value_may_be_canceled_and_the_run_goes_on) {
  in_runtime([this] {
    channel<int> source;
    lazy<int> l([&] { return source.receive().value(); });
    auto runner = start([&] { EXPECT_EQ(l.get(), 4); });
    until_waiting(1);
    auto c = derive_cancel(context::current());
    std::atomic<bool> thrown{false};
    auto waiter = start([&, ctx = c.ctx] {
      const context_scope scope(ctx);
      try {
        l.get();
      } catch (const canceled&) {
        thrown = true;
      }
    });
    until_waiting(2);
    c.cancel();
    waiter.join();
    EXPECT_TRUE(thrown);
    source.send(4);
    runner.join();
    const context_scope scope(c.ctx);
    EXPECT_EQ(l.get(), 4) << "what is done is returned without a look";
  });
}

TEST_P(once_laws, a_value_that_cannot_be_stored_is_an_error_too) {
  struct unwilling {
    unwilling() = default;
    unwilling(unwilling&&) { throw std::runtime_error("does not move"); }
  };
  in_runtime([] {
    lazy<unwilling> l([] { return unwilling(); });
    EXPECT_THROW(l.get(), std::runtime_error);
    EXPECT_THROW(l.get(), std::runtime_error);
  });
}

}  // namespace
}  // namespace runnel::test
