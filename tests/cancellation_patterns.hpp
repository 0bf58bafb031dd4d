// As cancellation_states.hpp: rate_limiter, single_flight, cache.
#pragma once

#include "cancellation_states.hpp"

#include <runnel/patterns/cache.hpp>
#include <runnel/patterns/rate_limiter.hpp>
#include <runnel/patterns/single_flight.hpp>

namespace runnel::test {

struct drained_limiter : state {
  drained_limiter() { EXPECT_TRUE(l.allow()); }
  void unblock(const std::atomic<bool>&) override { l.set_rate(rate::unlimited()); }
  void check(bool) override {
    l.wait();
    l.set_rate(rate::none());
    EXPECT_EQ(l.tokens(), 1) << name;
  }
  rate_limiter l{rate::every(30min), 1};
};

/// Somebody runs the function for the key.
struct boarded_flight : state {
  static constexpr std::size_t others = 1;
  boarded_flight() { begun.receive(); }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool taken) override {
    EXPECT_EQ(leader.get(), 7) << name;
    EXPECT_EQ(taken ? got : 7, 7) << name;
    EXPECT_EQ(flights.run(1, [] { return 8; }), 8) << name;
  }
  channel<unit> begun, gate;
  single_flight<int, int> flights;
  int got = 0;
  task<int> leader = go([this] {
    return flights.run(1, [this] {
      begun.close();
      gate.receive();
      return 7;
    });
  });
};

struct loading_cache : state {
  static constexpr std::size_t others = 1;
  loading_cache() { begun.receive(); }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool taken) override {
    EXPECT_EQ(loader.get(), 7) << name;
    EXPECT_EQ(taken ? std::optional(got) : c.peek(1), 7) << name;
  }
  channel<unit> begun, gate;
  cache<int, int> c;
  int got = 0;
  task<int> loader = go([this] {
    return c.get_or_load(1, [this] {
      begun.close();
      gate.receive();
      return 7;
    });
  });
};

}  // namespace runnel::test
