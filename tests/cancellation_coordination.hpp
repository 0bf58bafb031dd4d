// As cancellation_states.hpp: latch, barrier, events, once, lazy, and a map's creations.
#pragma once

#include "cancellation_states.hpp"

#include <runnel/sync/barrier.hpp>
#include <runnel/sync/concurrent_map.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/sync/latch.hpp>
#include <runnel/sync/lazy.hpp>
#include <runnel/sync/once.hpp>

namespace runnel::test {

struct counting_latch : state {
  void unblock(const std::atomic<bool>&) override { l.count_down(); }
  void check(bool) override { l.wait(); }
  latch l{1};
};

/// One that was canceled has arrived only if it waited.
struct arriving_at_a_latch : state {
  void unblock(const std::atomic<bool>&) override { l.count_down(); }
  void check(bool waited) override {
    EXPECT_TRUE(!waited || l.try_wait()) << name;
    if (!l.try_wait()) l.count_down();
    EXPECT_TRUE(l.try_wait()) << name;
  }
  latch l{2};
};

struct unset_event : state {
  void unblock(const std::atomic<bool>&) override { e.set(); }
  void check(bool) override { e.wait(); }
  event e;
};

struct unset_auto_event : state {
  void unblock(const std::atomic<bool>&) override { e.set(); }
  void check(bool waited) override { EXPECT_EQ(e.try_wait(), !waited) << name; }
  auto_reset_event e;
};

/// One that arrives takes part, or has not arrived.
struct waiting_barrier : state {
  void unblock(const std::atomic<bool>&) override { token.emplace(b.arrive()); }
  void check(bool arrived) override {
    if (!arrived) static_cast<void>(b.arrive());
    EXPECT_TRUE(b.wait_for(std::move(*token), 0s)) << name;
  }
  barrier<> b{2};
  std::optional<barrier<>::arrival_token> token;
};

/// The test has arrived already.
struct arrived_barrier : state {
  void unblock(const std::atomic<bool>&) override { static_cast<void>(b.arrive()); }
  void check(bool) override { EXPECT_TRUE(b.wait_for(std::move(token), 0s)) << name << ": the arrival counts"; }
  barrier<> b{2};
  barrier<>::arrival_token token = b.arrive();
};

struct running_lazy : state {
  static constexpr std::size_t others = 1;
  running_lazy() { begun.receive(); }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool taken) override {
    runner.join();
    EXPECT_EQ(taken ? got : l.get(), 7) << name;
  }
  channel<unit> begun, gate;
  lazy<int> l{[this] {
    begun.close();
    gate.receive();
    return 7;
  }};
  int got = 0;
  task<void> runner = go([this] { l.get(); });
};

/// Its own caller runs the function; a canceled one leaves it to the next.
struct lone_lazy : state {
  void unblock(const std::atomic<bool>&) override { gate.send({}); }
  void check(bool made) override {
    EXPECT_EQ(l.done(), made) << name;
    EXPECT_EQ(made ? got : l.get(), 7) << name;
  }
  channel<unit> gate{1};
  lazy<int> l{[this] {
    gate.receive();
    return 7;
  }};
  int got = 0;
};

struct awaited_creation : state {
  static constexpr std::size_t others = 1;
  awaited_creation() { begun.receive(); }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool taken) override {
    maker.join();
    EXPECT_EQ(taken ? std::optional(got) : m.find(1), 7) << name;
  }
  channel<unit> begun, gate;
  concurrent_map<int, int> m;
  int got = 0;
  task<void> maker = go([this] {
    m.get_or_create(1, [this] {
      begun.close();
      gate.receive();
      return 7;
    });
  });
};

/// The same where its own caller creates.
struct lone_creation : state {
  void unblock(const std::atomic<bool>&) override { gate.send({}); }
  void check(bool made) override {
    EXPECT_EQ(m.contains(1), made) << name;
    EXPECT_EQ(made ? got : m.get_or_create(1, std::ref(*this)), 7) << name;
  }
  int operator()() {
    gate.receive();
    return 7;
  }
  channel<unit> gate{1};
  concurrent_map<int, int> m;
  int got = 0;
};

struct running_once : state {
  static constexpr std::size_t others = 1;
  running_once() { begun.receive(); }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool) override {
    runner.join();
    EXPECT_TRUE(o.done()) << name;
  }
  channel<unit> begun, gate;
  once o;
  task<void> runner = go([this] {
    o.call([this] {
      begun.close();
      gate.receive();
    });
  });
};

}  // namespace runnel::test
