// event and auto_reset_event: whom a set() releases, and what a cancellation leaves.
#include "support/fixture.hpp"

#include <runnel/sync/event.hpp>

#include <atomic>
#include <memory>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class event_laws : public behaviour {};
RUNNEL_EVERY_CALLER(event_laws);

TEST_P(event_laws, it_lets_everybody_through_until_it_is_reset) {
  in_runtime([this] {
    event e;
    int written = 0;
    std::vector<party> parties;
    for (int n = 0; n < 5; ++n) {
      parties.push_back(start([&] {
        e.wait();
        EXPECT_EQ(written, 1);
      }));
    }
    until_waiting(5);
    EXPECT_FALSE(e.is_set());
    EXPECT_FALSE(e.wait_for(1us));
    written = 1;
    e.set();
    e.set();
    EXPECT_TRUE(e.is_set());
    e.wait();
    for (party& p : parties) p.join();
    e.reset();
    EXPECT_FALSE(e.is_set());
    EXPECT_FALSE(e.wait_for(0s));
  });
}

TEST_P(event_laws, a_set_releases_who_waits_though_it_is_reset_at_once) {
  in_runtime([this] {
    event e;
    auto waiter = start([&] { e.wait(); });
    until_waiting(1);
    e.set();
    e.reset();
    waiter.join();
    EXPECT_FALSE(e.is_set());
  });
}

TEST_P(event_laws, it_may_be_destroyed_as_soon_as_wait_has_returned) {
  in_runtime([] {
    channel<event*> given(16);
    auto other = start([given] {
      for (event* e : given) e->set();
    });
    for (std::size_t i = scaled(4'000); i-- > 0;) {
      auto e = std::make_unique<event>();
      given.send(e.get());
      e->wait();
      e.reset();
    }
    given.close();
    other.join();
  });
}

TEST_P(event_laws, each_set_of_an_auto_reset_event_is_for_one) {
  in_runtime([this] {
    auto_reset_event e;
    e.set();
    e.set();
    EXPECT_TRUE(e.try_wait());
    EXPECT_FALSE(e.try_wait()) << "two in a row are one";
    e.set();
    e.reset();
    EXPECT_FALSE(e.wait_for(0s));
    std::atomic<int> released{0};
    std::vector<party> parties;
    for (int n = 0; n < 3; ++n) {
      parties.push_back(start([&] {
        e.wait();
        released.fetch_add(1);
      }));
    }
    until_waiting(3);
    for (int n = 0; n < 3; ++n) e.set();
    for (party& p : parties) p.join();
    EXPECT_EQ(released, 3);
    EXPECT_FALSE(e.try_wait());
  });
}

TEST_P(event_laws, no_newcomer_takes_what_was_for_one_who_waited) {
  in_runtime([this] {
    auto_reset_event e;
    for (std::size_t round = scaled(50); round-- > 0;) {
      auto waiter = start([&] { e.wait(); });
      until_waiting(1);
      e.set();
      EXPECT_FALSE(e.try_wait());
      waiter.join();
    }
  });
}

TEST_P(event_laws, a_canceled_waiter_leaves_the_set_to_the_next) {
  in_runtime([this] {
    for (std::size_t round = scaled(60); round-- > 0;) {
      auto_reset_event e;
      auto c = derive_cancel(context::current());
      std::atomic<int> released{0};
      auto first = start([&, ctx = c.ctx] {
        try {
          e.wait(ctx);
          released.fetch_add(1);
        } catch (const canceled&) {
        }
      });
      until_waiting(1);
      auto canceler = start([&] { c.cancel(); });
      e.set();
      first.join();
      canceler.join();
      if (released == 0) e.wait();
      EXPECT_FALSE(e.try_wait());
    }
  });
}

}  // namespace
}  // namespace runnel::test
