// Contexts under fire: cancellations that race with each other, with new children and with whoever looks.
#include "support/fixture.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <vector>

namespace runnel::test {
namespace {

class context_race_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(context_race_conformance);

using namespace std::chrono_literals;

std::size_t children(const context& c) { return detail::node_of(c).child_count(); }

std::exception_ptr some_cause() { return std::make_exception_ptr(std::runtime_error("the cause")); }

void until_canceled(const context& c) { select(on_done(c)); }

TEST_P(context_race_conformance, context_08_canceling_child_and_parent_at_once_does_not_deadlock) {
  in_runtime([] {
    struct job {
      context parent;
      cancel_handle child;
    };
    channel<job> jobs;
    auto other = start([jobs] {
      for (job& j : jobs) {
        select(on_done(j.parent), otherwise());
        j.child.cancel();
      }
    });
    for (std::size_t i = scaled(25'000); i-- > 0;) {
      auto parent = derive_cancel(context::current());
      auto child = derive_cancel(parent.ctx);
      const context watched = child.ctx;
      jobs.send({parent.ctx, std::move(child.cancel)});
      parent.cancel();
      until_canceled(watched);
      EXPECT_TRUE(watched.is_canceled());
    }
    jobs.close();
    other.join();
  });
}

TEST_P(context_race_conformance, context_08_neighbour_whoever_sees_the_parent_done_may_cancel_its_children_at_once) {
  in_runtime([] {
    struct job {
      context parent;
      std::vector<derived_context> children;
    };
    channel<job> jobs;
    channel<unit> finished;
    std::vector<party> others;
    for (int n = 0; n < 2; ++n) {
      others.push_back(start([=] {
        for (job& j : jobs) {
          until_canceled(j.parent);
          for (derived_context& d : j.children) d.cancel();
          for (const derived_context& d : j.children) EXPECT_TRUE(d.ctx.is_canceled());
          j.children.clear();
          finished.send({});
        }
      }));
    }
    for (std::size_t i = scaled(4'000); i-- > 0;) {
      auto parent = derive_cancel(context::current());
      for (int n = 0; n < 2; ++n) {
        job j{parent.ctx, {}};
        for (int c = 0; c < 4; ++c) j.children.push_back(derive_cancel(parent.ctx));
        jobs.send(std::move(j));
      }
      parent.cancel();
      for (int n = 0; n < 2; ++n) finished.receive();
      EXPECT_EQ(children(parent.ctx), 0u);
    }
    jobs.close();
    for (party& p : others) p.join();
  });
}

TEST_P(context_race_conformance, context_12_a_child_made_while_the_parent_is_canceled_gets_its_cause) {
  in_runtime([] {
    const std::exception_ptr cause = some_cause();
    channel<context> parents;
    channel<unit> finished;
    auto other = start([=] {
      for (context& parent : parents) {
        auto child = derive_cancel(parent);
        until_canceled(child.ctx);
        EXPECT_EQ(child.ctx.cause(), cause);
        finished.send({});
      }
    });
    for (std::size_t i = scaled(25'000); i-- > 0;) {
      auto parent = derive_cancel(context::current());
      parents.send(parent.ctx);
      parent.cancel(cause);
      finished.receive();
    }
    parents.close();
    other.join();
  });
}

TEST_P(context_race_conformance, context_12_neighbour_a_function_registered_while_the_context_is_canceled_runs_once) {
  in_runtime([] {
    channel<context> contexts;
    channel<unit> finished;
    std::atomic<std::size_t> ran{0};
    auto other = start([&, contexts, finished] {
      for (context& c : contexts) {
        auto registered = after_func(derive_value(c, context_key<int>{}, 0), [&, finished] {
          ran.fetch_add(1);
          finished.send({});
        });
        finished.receive();
        EXPECT_FALSE(registered.stop());
      }
    });
    const std::size_t rounds = scaled(4'000);
    for (std::size_t i = rounds; i-- > 0;) {
      auto c = derive_cancel(context::current());
      contexts.send(c.ctx);
      c.cancel();
    }
    contexts.close();
    other.join();
    EXPECT_EQ(ran.load(), rounds);
  });
}

TEST_P(context_race_conformance, context_16_the_cause_is_the_right_one_as_soon_as_there_is_one) {
  in_runtime([] {
    const std::exception_ptr cause = some_cause();
    for (std::size_t i = scaled(100); i-- > 0;) {
      auto c = derive_cancel(context::current());
      auto below = derive_cancel(c.ctx);
      std::atomic<int> polling{0};
      std::vector<party> pollers;
      for (const context& watched : {c.ctx, below.ctx}) {
        pollers.push_back(start([&polling, watched, cause] {
          polling.fetch_add(1);
          for (;;) {
            if (const std::exception_ptr seen = watched.cause()) {
              EXPECT_EQ(seen, cause);
              EXPECT_TRUE(watched.is_canceled());
              return;
            }
            yield();
          }
        }));
      }
      auto canceler = start([&] {
        while (polling.load() != 2) yield();
        c.cancel(cause);
      });
      canceler.join();
      for (party& p : pollers) p.join();
    }
  });
}

TEST_P(context_race_conformance, context_16_neighbour_of_many_causes_given_at_once_all_see_the_same) {
  in_runtime([] {
    for (std::size_t i = scaled(300); i-- > 0;) {
      auto c = derive_cancel(context::current());
      auto below = derive_cancel(c.ctx);
      std::vector<std::exception_ptr> causes{some_cause(), some_cause(), some_cause()};
      std::vector<party> cancelers;
      std::array<std::exception_ptr, 3> seen;
      for (std::size_t n = 0; n < 3; ++n) {
        cancelers.push_back(start([&, n] {
          detail::node_of(c.ctx).cancel(causes[n]);
          seen[n] = c.ctx.cause();
        }));
      }
      for (party& p : cancelers) p.join();
      EXPECT_EQ(seen[0], seen[1]);
      EXPECT_EQ(seen[0], seen[2]);
      EXPECT_EQ(seen[0], below.ctx.cause());
      EXPECT_EQ(std::count(causes.begin(), causes.end(), seen[0]), 1);
    }
  });
}

TEST_P(context_race_conformance, context_20_cancellations_and_ends_of_handles_may_race) {
  in_runtime([] {
    for (std::size_t i = scaled(500); i-- > 0;) {
      auto parent = derive_cancel(context::current());
      auto child = derive_cancel(parent.ctx);
      std::atomic<int> woken{0};
      std::vector<party> parties;
      for (const context& c : {parent.ctx, child.ctx}) {
        parties.push_back(start([&woken, c] {
          until_canceled(c);
          woken.fetch_add(1);
        }));
        parties.push_back(start([&woken, c] {
          EXPECT_THROW(channel<int>().receive(c), canceled);
          woken.fetch_add(1);
        }));
      }
      parties.push_back(start([&parent] { parent.cancel(); }));
      parties.push_back(start([c = std::make_shared<cancel_handle>(std::move(child.cancel))] { c->cancel(); }));
      for (party& p : parties) p.join();
      EXPECT_EQ(woken.load(), 4);
      EXPECT_EQ(children(parent.ctx), 0u);
    }
  });
}

TEST_P(context_race_conformance, context_20_neighbour_children_may_go_while_the_parent_is_canceled) {
  in_runtime([] {
    for (std::size_t i = scaled(500); i-- > 0;) {
      auto parent = derive_cancel(context::current());
      auto maker = start([&] {
        std::size_t made = 0;
        for (;; ++made) {
          auto child = derive_timeout(parent.ctx, 1h);
          auto grandchild = derive_cancel(child.ctx);
          if (child.ctx.is_canceled()) {
            EXPECT_TRUE(parent.ctx.is_canceled());
            until_canceled(grandchild.ctx);
            return;
          }
          if (made % 8 == 0) yield();
        }
      });
      yield();
      parent.cancel();
      maker.join();
      EXPECT_EQ(children(parent.ctx), 0u);
    }
    EXPECT_EQ(stats().armed_timers, 0u);
  });
}

}  // namespace
}  // namespace runnel::test
