// latch, barrier and events, in many orders of events.
#include "explored.hpp"

#include <runnel/runnel.hpp>
#include <runnel/sync/barrier.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/sync/latch.hpp>
#include <runnel/testing/shared_var.hpp>

#include <memory>

namespace runnel::test {
namespace {

TEST(explored_coordination, what_was_written_before_a_count_is_read_behind_the_wait) {
  holds_in(2'000, [] {
    auto l = std::make_unique<latch>(2);
    shared_var<int> a(0), b(0);
    auto first = go([&] {
      a.store(1);
      l->count_down();
    });
    auto second = go([&] {
      b.store(1);
      l->count_down();
    });
    l->wait();
    require(a.load() + b.load() == 2, "too early");
    l.reset();
    first.get();
    second.get();
  });
}

TEST(explored_coordination, a_canceled_arrival_has_not_been_or_takes_part) {
  holds_in(5'000, [] {
    int completed = 0;
    const auto complete = [&]() noexcept { ++completed; };
    barrier<decltype(complete)> b(2, complete);
    auto c = derive_cancel(context::current());
    bool arrived = false;
    auto hasty = go([&] {
      try {
        b.arrive_and_wait(c.ctx);
        arrived = true;
      } catch (const canceled&) {
      }
    });
    auto canceler = go([&] { c.cancel(); });
    auto token = b.arrive();
    hasty.get();
    canceler.get();
    require(completed == (arrived ? 1 : 0), "an arrival counts, or not");
    if (!arrived) static_cast<void>(b.arrive());
    b.wait(std::move(token));
  });
}

TEST(explored_coordination, a_set_is_never_lost_to_a_canceled_waiter) {
  holds_in(5'000, [] {
    auto_reset_event e;
    shared_var<int> written(0);
    auto c = derive_cancel(context::current());
    int taken = 0;
    auto hasty = go([&] {
      try {
        e.wait(c.ctx);
        require(written.load() == 1, "too early");
        ++taken;
      } catch (const canceled&) {
      }
    });
    auto canceler = go([&] { c.cancel(); });
    written.store(1);
    e.set();
    hasty.get();
    canceler.get();
    require(taken + (e.try_wait() ? 1 : 0) == 1, "a set was for nobody, or for two");
  });
}

}  // namespace
}  // namespace runnel::test
