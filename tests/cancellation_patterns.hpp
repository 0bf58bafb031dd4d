// As cancellation_states.hpp: what the patterns block on.
#pragma once

#include "cancellation_states.hpp"

#include <runnel/patterns/actor.hpp>
#include <runnel/patterns/batcher.hpp>
#include <runnel/patterns/cache.hpp>
#include <runnel/patterns/circuit_breaker.hpp>
#include <runnel/patterns/generate.hpp>
#include <runnel/patterns/hedge.hpp>
#include <runnel/patterns/keyed_rate_limiter.hpp>
#include <runnel/patterns/listener.hpp>
#include <runnel/patterns/pipeline.hpp>
#include <runnel/patterns/rate_limiter.hpp>
#include <runnel/patterns/retry.hpp>
#include <runnel/patterns/serve.hpp>
#include <runnel/patterns/single_flight.hpp>
#include <runnel/patterns/worker_pool.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

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
struct drained_key : state {
  drained_key() { EXPECT_TRUE(l.allow(1)); }
  void unblock(const std::atomic<bool>&) override { l.set_rate(rate::unlimited()); }
  void check(bool) override { l.wait(1); }
  keyed_rate_limiter<int> l{rate::every(30min), 1};
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

// ---- operations that run functions of the user: the function blocks ----------------------------------------------

struct waiting_function : state {
  int operator()() {
    gate.receive();
    ran = true;
    return 7;
  }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool taken) override {
    EXPECT_EQ(ran, taken) << name;
    EXPECT_EQ(got, taken ? 7 : 0) << name;
  }
  channel<unit> gate;
  std::atomic<bool> ran{false};
  int got = 0;
};
struct lone_flight : waiting_function {
  single_flight<int, int> flights;
};
struct lone_load : waiting_function {
  cache<int, int> c;
};
struct guarded_call : waiting_function {
  void check(bool taken) override {
    waiting_function::check(taken);
    EXPECT_EQ(b.counters().failed, 0u) << name;
  }
  circuit_breaker b;
};
/// The function runs beside the caller, and may have come to its end when that is canceled.
struct hedged_function : waiting_function {
  static constexpr std::size_t others = 1;
  void check(bool taken) override { EXPECT_EQ(got, taken ? 7 : 0) << name; }
};

struct second_attempt : state {
  static constexpr bool can_unblock = false;
  static constexpr bool slow = true;
  void unblock(const std::atomic<bool>&) override {}
  void check(bool done) override { EXPECT_TRUE(done ? brief && calls == 2 : calls < 2) << name; }
  retry_policy policy() const {
    const std::chrono::nanoseconds length = brief ? std::chrono::nanoseconds(50us) : 1h;
    return {.budget = std::chrono::nanoseconds::max(), .delay = length, .max_delay = length, .jitter = jitter::none};
  }
  void operator()() {
    if (++calls == 1) throw std::domain_error("once more");
  }
  int calls = 0;
};

// ---- pools, batchers, actors, servers ----------------------------------------------------------------------------

/// One value is being flushed, and one waits, which is all that may.
struct busy_batcher : state {
  static constexpr std::size_t others = 1;
  busy_batcher() {
    b.add(0);
    begun.receive();
    b.add(1);
  }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool added) override {
    b.close();
    EXPECT_EQ(flushed, added ? 3 : 2) << name;
  }
  channel<unit> begun, gate;
  std::atomic<int> flushed{0};
  batcher<int> b{[this](std::vector<int>&) {
                   begun.close();
                   gate.receive();
                   ++flushed;
                 },
                 {.size = 1, .waiting = 1}};
};
struct flushing_batcher : busy_batcher {
  void check(bool) override { busy_batcher::check(false); }
};
struct closing_batcher : busy_batcher {
  void check(bool closed) override {
    b.close();
    EXPECT_TRUE(!closed || flushed == 2) << name;
  }
};

/// One job runs, and one waits, which is all that may.
struct busy_pool : state {
  static constexpr std::size_t others = 1;
  busy_pool() {
    first.emplace(pool.submit(1));
    begun.receive();
    second.emplace(pool.submit(2));
  }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool submitted) override {
    EXPECT_EQ(third.has_value(), submitted) << name;
    EXPECT_EQ(first->get() + second->get(), 3) << name;
    EXPECT_EQ(third ? third->get() : 3, 3) << name;
  }
  channel<unit> begun, gate;
  worker_pool<int, int> pool{[this](int n) {
                               begun.close();
                               gate.receive();
                               return n;
                             },
                             {.workers = 1, .queue = 1, .results = 2}};
  std::optional<job<int>> first, second, third;
};
struct posting_pool : busy_pool {
  void check(bool posted) override {
    busy_pool::check(false);
    EXPECT_EQ(posted ? pool.results().receive() : 3, 3) << name;
  }
};
struct awaited_job : busy_pool {
  void check(bool taken) override { EXPECT_EQ(taken && got ? got : first->get(), 1) << name; }
  int got = 0;
};
struct ending_pool : busy_pool {
  void check(bool drained) override {
    EXPECT_THROW(pool.post(4), pool_stopped) << name;
    if (drained) busy_pool::check(false);
  }
};

/// One message is being handled, and one waits, which is all that may.
struct busy_actor : state {
  static constexpr std::size_t others = 1;
  busy_actor() {
    a.tell(0);
    begun.receive();
    a.tell(1);
  }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool told) override {
    a.stop();
    a.join();
    EXPECT_EQ(a.counters().handled, told ? 3u : 2u) << name;
  }
  channel<unit> begun, gate;
  actor<int> a{{.mailbox = 1}, [this] {
                 return [this](int) {
                   begun.close();
                   gate.receive();
                 };
               }};
};
struct ending_actor : busy_actor {
  ending_actor() { a.stop(); }
  void check(bool) override { busy_actor::check(false); }
};
struct asked_actor : state {
  static constexpr std::size_t others = 1;
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool answered) override { EXPECT_EQ(got, answered ? 7 : 0) << name; }
  channel<unit> gate;
  int got = 0;
  actor<reply<int>> a{[this] {
    return [this](reply<int> r) {
      gate.receive();
      r(7);
    };
  }};
};
struct open_question : state {
  void unblock(const std::atomic<bool>&) override { EXPECT_TRUE(q.reply(7)) << name; }
  void check(bool taken) override { EXPECT_EQ(taken ? got : q.answer.get(), 7) << name; }
  question<int> q = make_question<int>();
  int got = 0;
};

/// One request is being handled, the source has ended.
struct busy_server : state {
  static constexpr std::size_t others = 1;
  busy_server() {
    begun.receive();
    requests.close();
  }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool waited) override {
    EXPECT_EQ(s.counters().active, 0u) << name << ": also a canceled wait joins";
    EXPECT_TRUE(!waited || handled) << name;
  }
  channel<unit> begun, gate;
  channel<int> requests = [] {
    channel<int> c(1);
    c.send(1);
    return c;
  }();
  std::atomic<bool> handled{false};
  server s = serve(requests, [this](int) {
    begun.close();
    gate.receive();
    handled = true;
  });
};

struct listening_socket : state {
  static constexpr bool slow = true;
  void unblock(const std::atomic<bool>&) override {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(l.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(client.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << name;
  }
  void check(bool accepted) override {
    if (!accepted) got.emplace(l.accept());
    EXPECT_GE(got->fd(), 0) << name;
  }
  listener l = listener::loopback();
  connection client{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::optional<connection> got;
};

// ---- streams and pipelines ---------------------------------------------------------------------------------------

struct waiting_stream : state {
  static constexpr std::size_t others = 1;
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool received) override { EXPECT_EQ(received ? got : s.receive(), 7) << name; }
  channel<unit> gate;
  std::optional<int> got;
  stream<int, spsc> s = generate<int>([this](auto& out) {
    gate.receive();
    out.send(7);
  });
};
struct waiting_pipeline : state {
  void unblock(const std::atomic<bool>&) override { source.close(); }
  void check(bool ended) override { EXPECT_EQ(got, ended ? 1u : 0u) << name; }
  template <class... Context>
  void take_each(const Context&... ctx) {
    std::size_t n = 0;
    from(source).for_each(ctx..., [&n](int) { ++n; });
    got = n;
  }
  channel<int> source = [] {
    channel<int> c(1);
    c.send(7);
    return c;
  }();
  std::size_t got = 0;
};

}  // namespace runnel::test
