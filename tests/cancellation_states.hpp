// What the operations of cancellation_operations.hpp block on, and what must hold afterwards.
#pragma once

#include "support/fixture.hpp"

#include <runnel/fd.hpp>
#include <runnel/sync/guarded.hpp>
#include <runnel/sync/lock_all.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace runnel::test {

using namespace std::chrono_literals;

/// Where exploration may let the clock go on, which any limit would meet.
inline constexpr auto no_limit = std::chrono::hours::max();

/// What somebody blocks on; made afresh for every attempt.
struct state {
  state() = default;
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  virtual ~state() = default;
  /// Lets the operation take place, whether it is blocked already, not yet, or no longer (`over`). Once.
  virtual void unblock(const std::atomic<bool>& over) = 0;
  /// After unblock() and the end of the operation: it took place wholly, or not at all.
  virtual void check(bool took_place) = 0;
  /// Waits for what must have happened besides parking.
  virtual void until_begun() {}

  std::string name;
  bool brief = false;  ///< for what only time ends: it should

  // What holds for the operations on a state unless it says otherwise.
  static constexpr std::size_t others = 0;     ///< parties of its own that are parked too
  static constexpr bool can_unblock = true;    ///< else only time ends it
  static constexpr bool unblocks_early = true;  ///< unblock() may come before the operation
  static constexpr bool slow = false;           ///< it takes a while from unblock() to the commit
};

// ---- channels --------------------------------------------------------------------------------------------------

using boxed = std::unique_ptr<int>;

struct full_channel : state {
  full_channel() { c.send(std::make_unique<int>(0)); }
  void unblock(const std::atomic<bool>&) override { EXPECT_EQ(**c.try_receive().value, 0) << name; }
  void check(bool sent) override {
    const auto r = c.try_receive();
    EXPECT_EQ(r.status, sent ? channel_status::ok : channel_status::would_block) << name;
    EXPECT_EQ(values[0] == nullptr, sent) << name << ": a value that was not sent stays with the sender";
  }
  channel<boxed> c{1};
  boxed values[1]{std::make_unique<int>(1)};
};

struct full_one_to_one : state {
  full_one_to_one() { c.tx.send(std::make_unique<int>(0)); }
  void unblock(const std::atomic<bool>&) override { EXPECT_EQ(**c.rx.try_receive().value, 0) << name; }
  void check(bool sent) override {
    EXPECT_EQ(c.rx.try_receive().status, sent ? channel_status::ok : channel_status::would_block) << name;
    EXPECT_EQ(values[0] == nullptr, sent) << name;
  }
  channel_pair<boxed, spsc> c = make_channel<boxed, spsc>(1);
  boxed values[1]{std::make_unique<int>(1)};
};

/// The sender meets a receiver that polls.
struct sending_rendezvous : state {
  static constexpr bool unblocks_early = false;
  void unblock(const std::atomic<bool>& over) override {
    while (!over && !taken) {
      taken = static_cast<bool>(c.try_receive());
      if (!taken) yield();
    }
  }
  void check(bool sent) override {
    EXPECT_EQ(taken, sent) << name;
    EXPECT_EQ(value == nullptr, sent) << name;
  }
  channel<boxed> c;
  boxed value = std::make_unique<int>(1);
  bool taken = false;
};

/// Two values, room for one: of a prefix that was sent nothing is lost either.
struct half_full_channel : state {
  static constexpr bool unblocks_early = false;
  void unblock(const std::atomic<bool>&) override { first = c.try_receive(); }
  void check(bool sent_all) override {
    int sent = first ? 1 : 0;
    while (c.try_receive()) ++sent;
    EXPECT_EQ(sent + (values[0] ? 1 : 0) + (values[1] ? 1 : 0), 2) << name;
    EXPECT_TRUE(!sent_all || sent == 2) << name;
    EXPECT_FALSE(values[0] && !values[1]) << name << ": in order";
  }
  channel<boxed> c{1};
  boxed values[2]{std::make_unique<int>(0), std::make_unique<int>(1)};
  try_receive_result<boxed> first;
};

struct empty_channel : state {
  void unblock(const std::atomic<bool>&) override { EXPECT_EQ(c.try_send(1), channel_status::ok) << name; }
  void check(bool received) override {
    if (received) {
      EXPECT_EQ(got, 1) << name;
      EXPECT_EQ(c.size(), 0u) << name;
    } else {
      EXPECT_EQ(got, std::nullopt) << name;
      EXPECT_EQ(c.try_receive().value, 1) << name << ": it is there for the next one";
    }
  }
  channel<int> c{1};
  std::optional<int> got;
};

/// For a selector that is used again.
struct awaited_selector : empty_channel {
  void check(bool received) override {
    if (!received) many.run();
    EXPECT_EQ(got, 1) << name << ": it is there for the next run";
  }
  selector many = [this] {
    selector s;
    s.add(on_receive(c, got)).add(on_receive(channel<int>()));
    return s;
  }();
};

struct empty_one_to_one : state {
  void unblock(const std::atomic<bool>&) override { EXPECT_EQ(c.tx.try_send(1), channel_status::ok) << name; }
  void check(bool received) override {
    EXPECT_EQ(got[0], received ? 1 : 0) << name;
    EXPECT_EQ(c.rx.try_receive().status, received ? channel_status::would_block : channel_status::ok) << name;
  }
  channel_pair<int, spsc> c = make_channel<int, spsc>(1);
  int got[1]{};
};

struct receiving_rendezvous : state {
  static constexpr bool unblocks_early = false;
  void unblock(const std::atomic<bool>& over) override {
    while (!over && !given) {
      given = c.try_send(1) == channel_status::ok;
      if (!given) yield();
    }
  }
  void check(bool received) override {
    EXPECT_EQ(given, received) << name;
    EXPECT_EQ(got.has_value(), received) << name;
  }
  channel<int> c;
  std::optional<int> got;
  bool given = false;
};

/// Two values for a receiver of two, one of them later.
struct half_empty_channel : state {
  half_empty_channel() { c.send(1); }
  void unblock(const std::atomic<bool>&) override { EXPECT_EQ(c.try_send(2), channel_status::ok) << name; }
  void check(bool received_both) override {
    std::vector<int> all;
    std::copy_if(std::begin(got), std::end(got), std::back_inserter(all), [](int v) { return v != 0; });
    EXPECT_TRUE(!received_both || all.size() == 2) << name;
    while (auto r = c.try_receive()) all.push_back(*r.value);
    EXPECT_EQ(all, (std::vector<int>{1, 2})) << name;
  }
  channel<int> c{2};
  int got[2]{};
};

// ---- time ------------------------------------------------------------------------------------------------------

struct sleeper : state {
  static constexpr bool can_unblock = false;
  static constexpr bool slow = true;
  void unblock(const std::atomic<bool>&) override {}
  void check(bool slept) override { EXPECT_TRUE(!slept || (brief && steady_clock::now() >= made + length())) << name; }
  std::chrono::nanoseconds length() const { return brief ? 50us : 1h; }
  const time_point made = steady_clock::now();
};

struct pending_timer : state {
  static constexpr bool slow = true;
  void unblock(const std::atomic<bool>&) override { t.reset(0s); }
  void check(bool received) override {
    EXPECT_EQ(got.has_value(), received) << name;
    if (received) {
      EXPECT_EQ(t.try_receive().status, channel_status::would_block) << name;
    } else {
      EXPECT_TRUE(t.receive().has_value()) << name << ": the tick is still to come";
    }
  }
  timer t{1h};
  std::optional<time_point> got;
};

struct pending_ticker : state {
  static constexpr bool slow = true;
  void unblock(const std::atomic<bool>&) override { t.reset(50us); }
  void check(bool received) override {
    EXPECT_EQ(got.has_value(), received) << name;
    EXPECT_TRUE(t.receive().has_value()) << name << ": it ticks on";
  }
  ticker t{1h};
  std::optional<time_point> got;
};

// ---- tasks, groups ---------------------------------------------------------------------------------------------

struct running_task : state {
  static constexpr std::size_t others = 1;
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool taken) override { EXPECT_EQ(taken && result ? result : t.get(), 7) << name; }
  channel<unit> gate;
  task<int> t = go([c = gate] {
    c.receive();
    return 7;
  });
  int result = 0;
};

/// Its destructor joins, and is no cancellation point.
struct shielded_task : state {
  static constexpr std::size_t others = 1;
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool) override { EXPECT_TRUE(ended) << name; }
  channel<unit> gate;
  std::atomic<bool> ended{false};
  task<void> t = go([this] {
    const cancel_shield shield;
    gate.receive();
    ended = true;
  });
};

struct shielded_function : state {
  static constexpr std::size_t others = 1;
  shielded_function() {
    c.cancel();
    h = after_func(c.ctx, [this] {
      begun.close();
      gate.receive();
      ended = true;
    });
    begun.receive();
  }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool) override { EXPECT_TRUE(ended) << name; }
  channel<unit> begun, gate;
  std::atomic<bool> ended{false};
  derived_context c = derive_cancel(context::background());
  after_func_handle h;
};

struct busy_group : state {
  static constexpr std::size_t others = 1;
  busy_group() {
    g.go([this] {
      struct at_end {
        std::atomic<bool>& flag;
        ~at_end() { flag = true; }
      } end{ended};
      gate.receive();
      served = true;
    });
  }
  void unblock(const std::atomic<bool>&) override { gate.try_send({}); }
  void check(bool waited) override {
    EXPECT_TRUE(ended) << name << ": also a canceled wait joins";
    EXPECT_TRUE(!waited || served) << name;
    EXPECT_EQ(gate.size(), served ? 0u : 1u) << name;
    EXPECT_TRUE(g.get_context().is_canceled()) << name;
    g.wait();
  }
  channel<unit> gate{1};
  std::atomic<bool> ended{false}, served{false};
  task_group g;
};

struct group_at_its_limit : state {
  static constexpr std::size_t others = 1;
  group_at_its_limit() {
    g.go([c = gate] { c.receive(); });
  }
  void unblock(const std::atomic<bool>&) override { gate.close(); }
  void check(bool started) override {
    g.wait();
    EXPECT_EQ(ran, started) << name;
  }
  channel<unit> gate;
  std::atomic<bool> ran{false};
  task_group g{{.limit = 1}};
};

/// Starts the task of a group, as its body.
struct group_of_a_body : state {
  static constexpr std::size_t others = 1;
  void unblock(const std::atomic<bool>&) override { gate.try_send({}); }
  void operator()(task_group& g) {
    ++running;
    g.go([this] {
      struct at_end {
        std::atomic<int>& running;
        ~at_end() { --running; }
      } end{running};
      gate.receive();
      served = true;
    });
  }
  void check(bool ended) override {
    EXPECT_EQ(running, 0) << name << ": also a canceled one joins";
    EXPECT_TRUE(!ended || served) << name;
    EXPECT_EQ(gate.size(), served ? 0u : 1u) << name;
  }
  channel<unit> gate{1};
  std::atomic<int> running{0};
  std::atomic<bool> served{false};
};

struct pool_call : state {
  void unblock(const std::atomic<bool>&) override {
    {
      const std::lock_guard lock(m);
      released = true;
    }
    changed.notify_all();
  }
  void until_begun() override { begun.receive(); }
  void check(bool called) override {
    EXPECT_EQ(ran, called) << name;
    EXPECT_EQ(result, called ? 5 : 0) << name;
  }
  int operator()(const std::stop_token& stop) {
    ran = true;
    begun.close();
    std::unique_lock lock(m);
    changed.wait(lock, stop, [this] { return released; });
    return 5;
  }
  std::mutex m;
  std::condition_variable_any changed;
  bool released = false;
  std::atomic<bool> ran{false};
  channel<unit> begun;
  int result = 0;
};

// ---- locks -----------------------------------------------------------------------------------------------------

struct counting_group : state {
  counting_group() { w.add(); }
  void unblock(const std::atomic<bool>&) override { w.done(); }
  void check(bool) override { w.wait(); }
  wait_group w;
};

struct locked_mutex : state {
  locked_mutex() { m.lock(); }
  void unblock(const std::atomic<bool>&) override { m.unlock(); }
  void check(bool locked) override {
    EXPECT_EQ(m.try_lock(), !locked) << name;
    m.unlock();
  }
  mutex m;
};

struct locked_value : state {
  void unblock(const std::atomic<bool>&) override { held.unlock(); }
  void use(const locked<int>& value) { *value = 1; }
  void check(bool used) override {
    const auto now = g.try_lock();
    ASSERT_TRUE(now) << name;
    EXPECT_EQ(**now, used ? 1 : 0) << name;
  }
  guarded<int> g{0};
  locked<int> held = g.lock();
};

/// The other one is free, and is so again when not all could be had.
struct one_of_the_locks : state {
  one_of_the_locks() { std::max(&a, &b)->lock(); }
  void unblock(const std::atomic<bool>&) override { std::max(&a, &b)->unlock(); }
  void check(bool locked) override {
    EXPECT_EQ(held.has_value(), locked) << name;
    for (mutex* m : {&a, &b}) {
      EXPECT_EQ(m->try_lock(), !locked) << name;
      if (!locked) m->unlock();
    }
  }
  /// What lock_all returns does not move.
  struct both {
    template <class... A>
    explicit both(A&&... a) : all(lock_all(std::forward<A>(a)...)) {}
    decltype(lock_all(std::declval<mutex&>(), std::declval<mutex&>())) all;
  };
  mutex a, b;
  std::optional<both> held;
};

struct awaited_condition : state {
  void unblock(const std::atomic<bool>&) override {
    {
      const std::scoped_lock lock(m);
      happened = true;
    }
    changed.notify_all();
  }
  void check(bool) override {
    EXPECT_TRUE(m.try_lock()) << name;
    m.unlock();
  }
  mutex m;
  condition_variable changed;
  bool happened = false;
};

template <class Lock, bool Reading>
struct locked_shared_mutex : state {
  locked_shared_mutex() { m.lock(); }
  void unblock(const std::atomic<bool>&) override { m.unlock(); }
  void check(bool locked) override {
    EXPECT_EQ(m.try_lock(), !locked) << name;
    if (locked && Reading) {
      m.unlock_shared();
    } else {
      m.unlock();
    }
  }
  Lock m;
};

struct empty_semaphore : state {
  void unblock(const std::atomic<bool>&) override { s.release(2); }
  void check(bool acquired) override { EXPECT_EQ(s.try_acquire(2), !acquired) << name; }
  semaphore s{0};
};

struct wanted_permit : empty_semaphore {
  void check(bool acquired) override {
    EXPECT_EQ(p.has_value(), acquired) << name;
    EXPECT_EQ(s.available(), acquired ? 0 : 2) << name;
  }
  std::optional<permit> p;
};

// ---- the outside world -----------------------------------------------------------------------------------------

struct empty_pipe : state {
  static constexpr bool slow = true;
  empty_pipe() { EXPECT_EQ(pipe2(ends, O_NONBLOCK), 0); }
  ~empty_pipe() override {
    close(ends[0]);
    close(ends[1]);
  }
  void unblock(const std::atomic<bool>&) override { EXPECT_EQ(write(ends[1], "x", 1), 1); }
  void check(bool) override {
    char byte = 0;
    EXPECT_TRUE(wait_readable_for(ends[0], 0s)) << name;
    EXPECT_EQ(read(ends[0], &byte, 1), 1) << name << ": waiting takes nothing";
  }
  int ends[2];
};

struct full_pipe : empty_pipe {
  full_pipe() {
    fcntl(ends[1], F_SETPIPE_SZ, 4096);
    const std::vector<char> page(4096);
    while (write(ends[1], page.data(), page.size()) > 0) {
    }
  }
  void unblock(const std::atomic<bool>&) override {
    std::vector<char> page(4096);
    while (read(ends[0], page.data(), page.size()) > 0) {
    }
  }
  void check(bool) override { EXPECT_TRUE(wait_writable_for(ends[1], 0s)) << name; }
};

struct awaited_signal : state {
  static constexpr bool slow = true;
  void unblock(const std::atomic<bool>&) override { kill(getpid(), SIGUSR1); }
  void check(bool received) override {
    EXPECT_EQ(got.has_value(), received) << name;
    EXPECT_EQ(received ? got : signals.receive(), SIGUSR1) << name;
    EXPECT_EQ(signals.try_receive().status, channel_status::would_block) << name;
  }
  signal_channel signals{SIGUSR1};
  std::optional<int> got;
};

struct watched_context : state {
  void unblock(const std::atomic<bool>&) override { c.cancel(); }
  void check(bool done) override { EXPECT_TRUE(!done || c.ctx.is_canceled()) << name; }
  derived_context c = derive_cancel(context::background());
};

/// For what does not block.
struct nothing : state {
  void unblock(const std::atomic<bool>&) override {}
  void check(bool) override {}
  channel<int> c{1};
};

}  // namespace runnel::test
