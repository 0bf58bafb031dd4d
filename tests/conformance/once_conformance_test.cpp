// once and lazy: exceptions, ends of captures, recursion.
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

class once_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(once_conformance);

TEST_P(once_conformance, once_02_an_exception_reaches_its_caller_and_the_next_one_runs) {
  in_runtime([] {
    once o;
    EXPECT_THROW(o.call([] { throw std::runtime_error("first"); }), std::runtime_error);
    EXPECT_FALSE(o.done());
    std::atomic<int> runs{0};
    std::vector<party> parties;
    for (int n = 0; n < 20; ++n) {
      parties.push_back(start([&] {
        o.call([&] {
          runs.fetch_add(1);
          yield();
        });
      }));
    }
    for (party& p : parties) p.join();
    EXPECT_EQ(runs.load(), 1);
  });
}

TEST_P(once_conformance, once_02_neighbour_of_those_who_wait_one_after_the_other_runs_until_one_succeeds) {
  in_runtime([this] {
    once o;
    channel<unit> gate;
    int runs = 0;  // one at a time
    std::atomic<int> failed{0};
    std::vector<party> parties;
    for (std::size_t n = 0; n < 10; ++n) {
      parties.push_back(start([&] {
        try {
          o.call([&] {
            if (++runs == 1) gate.receive();
            if (runs < 5) throw std::runtime_error("not yet");
          });
        } catch (const std::runtime_error&) {
          failed.fetch_add(1);
        }
      }));
    }
    until_waiting(10);
    gate.send({});
    for (party& p : parties) p.join();
    EXPECT_EQ(runs, 5);
    EXPECT_EQ(failed.load(), 4) << "each failure has one caller";
  });
}

TEST_P(once_conformance, once_04_lazy_remembers_the_error_with_its_type) {
  in_runtime([] {
    struct x : std::runtime_error {
      x() : std::runtime_error("x") {}
    };
    int runs = 0;
    lazy<int> l([&]() -> int {
      ++runs;
      throw x();
    });
    for (int i = 0; i < 2; ++i) {
      try {
        l.get();
        ADD_FAILURE() << "has to throw";
      } catch (const x& e) {
        EXPECT_STREQ(e.what(), "x");
      }
    }
    EXPECT_EQ(runs, 1);
  });
}

TEST_P(once_conformance, once_04_neighbour_those_who_waited_get_the_error_too) {
  in_runtime([this] {
    channel<unit> gate;
    lazy<int> l([&]() -> int {
      gate.receive();
      throw std::out_of_range("gone");
    });
    std::atomic<int> thrown{0};
    std::vector<party> parties;
    for (int n = 0; n < 5; ++n) {
      parties.push_back(start([&] {
        try {
          l.get();
        } catch (const std::out_of_range&) {
          thrown.fetch_add(1);
        }
      }));
    }
    until_waiting(5);
    gate.send({});
    for (party& p : parties) p.join();
    EXPECT_EQ(thrown.load(), 5);
  });
}

TEST_P(once_conformance, once_06_the_function_and_its_captures_end_with_the_first_call) {
  in_runtime([] {
    for (const bool fails : {false, true}) {
      auto captured = std::make_shared<int>(1);
      lazy<int> l([captured, fails] {
        if (fails) throw std::runtime_error("no value");
        return *captured;
      });
      EXPECT_EQ(captured.use_count(), 2);
      try {
        EXPECT_EQ(l.get(), 1);
      } catch (const std::runtime_error&) {
        EXPECT_TRUE(fails);
      }
      EXPECT_EQ(captured.use_count(), 1);
    }
  });
}

TEST_P(once_conformance, once_06_neighbour_a_canceled_run_keeps_the_function_and_no_run_ends_it_with_the_lazy) {
  in_runtime([] {
    auto captured = std::make_shared<int>(2);
    {
      lazy<int> l([captured] {
        this_fiber::checkpoint();
        return *captured;
      });
      auto c = derive_cancel(context::current());
      c.cancel();
      {
        const context_scope scope(c.ctx);
        EXPECT_THROW(l.get(), canceled);
      }
      EXPECT_EQ(captured.use_count(), 2);
      EXPECT_EQ(l.get(), 2);
      EXPECT_EQ(captured.use_count(), 1);
      const lazy<int> never_asked([captured] { return *captured; });
      EXPECT_EQ(captured.use_count(), 2);
    }
    EXPECT_EQ(captured.use_count(), 1);
  });
}

TEST_P(once_conformance, once_08_a_function_that_calls_its_own_once_is_misuse) {
  in_runtime([] {
    once o;
    EXPECT_THROW(o.call([&] { o.call([] {}); }), misuse);
    int runs = 0;
    o.call([&] {
      ++runs;
      EXPECT_THROW(o.call([] {}), misuse);
    });
    EXPECT_EQ(runs, 1) << "what a function has caught is its own affair";
    EXPECT_TRUE(o.done());
  });
}

TEST_P(once_conformance, once_08_neighbour_a_lazy_value_may_ask_for_another_but_not_for_itself) {
  in_runtime([] {
    lazy<int> first([] { return 1; });
    lazy<int> second([&] { return first.get() + 1; });
    EXPECT_EQ(second.get(), 2);
    lazy<int>* self = nullptr;
    lazy<int> circular([&] { return self->get(); });
    self = &circular;
    EXPECT_THROW(circular.get(), misuse);
    EXPECT_THROW(circular.get(), misuse) << "remembered like every error";
  });
}

}  // namespace
}  // namespace runnel::test
