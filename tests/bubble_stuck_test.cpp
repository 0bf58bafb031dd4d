// Fibers of a failed bubble that no cancellation reaches. A program of its own: they stay where they are for good.
#include <runnel/runnel.hpp>
#include <runnel/testing/bubble.hpp>

#include <gtest/gtest.h>

#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class bubble_stuck : public ::testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(widths, bubble_stuck, ::testing::Values(1u, 2u, 4u));

TEST_P(bubble_stuck, who_waits_in_lock_is_named_and_never_runs_again) {
  run({.workers = GetParam()}, [] {
    // Kept: the fibers stand in their queues.
    mutex& a = *new mutex;
    mutex& b = *new mutex;
    std::string report;
    bool reached = false;
    try {
      bubble([&] {
        a.lock();
        go_detached({.name = "other"}, [&] {
          b.lock();
          sleep_for(1s);
          a.lock();
          reached = true;
        });
        sleep_for(1s);
        b.lock();
        reached = true;
      });
    } catch (const bubble_error& e) {
      report = e.what();
    }
    EXPECT_NE(report.find("deadlock"), std::string::npos) << report;
    EXPECT_NE(report.find("\"other\": parked in mutex"), std::string::npos) << report;
    EXPECT_NE(report.find("\"bubble\": parked in mutex"), std::string::npos) << report;
    a.unlock();  // from outside: it wakes one that was given up
    for (int i = 0; i < 100; ++i) yield();
    EXPECT_FALSE(reached);
    EXPECT_EQ(stats().live_fibers, 1u);
    bubble([] { sleep_for(1h); });
  });
}

}  // namespace
}  // namespace runnel::test
