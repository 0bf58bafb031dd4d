// Events: releasing many looks like one instant.
#include "support/fixture.hpp"

#include <runnel/sync/event.hpp>

#include <atomic>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class event_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(event_conformance);

TEST_P(event_conformance, waitgroup_08_a_released_waiter_that_waits_again_needs_a_release_of_its_own) {
  in_runtime([this] {
    for (const std::size_t again : {std::size_t{0}, std::size_t{32}}) {  // the first and the last of the queue
      event all;
      std::atomic<int> released{0};
      std::vector<party> waiters;
      for (std::size_t n = 0; n < 33; ++n) {
        waiters.push_back(start([&, n] {
          all.wait();
          released.fetch_add(1);
          if (n != again) return;
          all.reset();  // while others of the same release are still on their way
          all.wait();
          released.fetch_add(100);
        }));
        until_waiting(n + 1);
      }
      all.set();
      for (std::size_t n = 0; n < 33; ++n)
        if (n != again) waiters[n].join();
      until_waiting(1);
      EXPECT_EQ(released.load(), 33) << "each was released once";
      all.set();
      waiters[again].join();
      EXPECT_EQ(released.load(), 133);
    }
  });
}

TEST_P(event_conformance, waitgroup_08_neighbour_who_waited_before_gets_the_later_set_only_once) {
  in_runtime([this] {
    auto_reset_event one;
    std::atomic<int> released{0};
    std::vector<party> waiters;
    for (std::size_t n = 0; n < 33; ++n) {
      waiters.push_back(start([&] {
        one.wait();
        released.fetch_add(1);
      }));
      until_waiting(n + 1);
    }
    for (int n = 0; n < 33; ++n) one.set();
    auto late = start([&] {
      one.wait();
      released.fetch_add(100);
    });
    for (party& p : waiters) p.join();
    until_waiting(1);
    EXPECT_EQ(released.load(), 33) << "no set was left for who came later";
    one.set();
    late.join();
  });
}

}  // namespace
}  // namespace runnel::test
