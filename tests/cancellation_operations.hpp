// Every operation that may block, as a table: a new one is one row, and a state if none fits.
#pragma once

#include "support/fixture.hpp"

#include <runnel/fd.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
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
};

enum class answer { throws, ignores, stops };

struct operation {
  std::string name;
  std::function<std::unique_ptr<state>()> make;
  std::function<void(state&)> block;
  std::function<void(state&, const context&)> block_with;  ///< empty: there is no overload
  std::size_t others;
  bool can_unblock;
  bool unblocks_early;
  answer when_canceled = answer::throws;
  bool parks = true;
  bool checks_first = true;

  operation&& ignores() && { return when_canceled = answer::ignores, std::move(*this); }
  /// It passes the cancellation on and returns what comes then.
  operation&& stops() && { return when_canceled = answer::stops, std::move(*this); }
  operation&& never_parks() && { return parks = false, std::move(*this); }
  /// It looks at the cancellation only when it has to wait.
  operation&& looks_late() && { return checks_first = false, std::move(*this); }
};

template <class S>
operation row(const std::string& name, void (*block)(S&), void (*block_with)(S&, const context&) = nullptr) {
  operation o{.name = name,
              .make =
                  [name] {
                    auto s = std::make_unique<S>();
                    s->name = name;
                    return s;
                  },
              .block = [block](state& s) { block(static_cast<S&>(s)); },
              .block_with = {},
              .others = S::others,
              .can_unblock = S::can_unblock,
              .unblocks_early = S::unblocks_early};
  if (block_with) o.block_with = [block_with](state& s, const context& c) { block_with(static_cast<S&>(s), c); };
  return o;
}

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
  void unblock(const std::atomic<bool>&) override {}
  void check(bool slept) override { EXPECT_TRUE(!slept || (brief && steady_clock::now() >= made + length())) << name; }
  std::chrono::nanoseconds length() const { return brief ? 50us : 1h; }
  const time_point made = steady_clock::now();
};

struct pending_timer : state {
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
  void unblock(const std::atomic<bool>&) override { t.reset(100us); }
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
  int call(const std::stop_token& stop) {
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

// ---- the outside world -----------------------------------------------------------------------------------------

struct empty_pipe : state {
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

// ---- the table -------------------------------------------------------------------------------------------------

inline const std::vector<operation>& operations() {
  static const std::vector<operation> table = [] {
    std::vector<operation> t;
    const auto add = [&](operation o) { t.push_back(std::move(o)); };

    add(row<full_channel>("send", [](auto& s) { s.c.send(std::move(s.values[0])); },
                          [](auto& s, auto& ctx) { s.c.send(ctx, std::move(s.values[0])); }));
    add(row<full_channel>("send_for", [](auto& s) { s.c.send_for(std::move(s.values[0]), 1h); }));
    add(row<full_channel>("send_until", [](auto& s) { s.c.send_until(std::move(s.values[0]), never); }));
    add(row<full_channel>("send_n", [](auto& s) { EXPECT_EQ(s.c.send_n(s.values), 1u); }));
    add(row<half_full_channel>("send_n of two", [](auto& s) { EXPECT_EQ(s.c.send_n(s.values), 2u); }));
    add(row<full_channel>("select, sending", [](auto& s) { select(on_send(s.c, std::move(s.values[0]))); }));
    add(row<sending_rendezvous>("send to a receiver", [](auto& s) { s.c.send(std::move(s.value)); },
                                [](auto& s, auto& ctx) { s.c.send(ctx, std::move(s.value)); }));
    add(row<sending_rendezvous>("select, sending to a receiver",
                                [](auto& s) { select(on_timeout(1h), on_send(s.c, std::move(s.value))); }));

    add(row<empty_channel>("receive", [](auto& s) { s.got = s.c.receive(); },
                           [](auto& s, auto& ctx) { s.got = s.c.receive(ctx); }));
    add(row<empty_channel>("receive_for", [](auto& s) { s.got = s.c.receive_for(1h).value; }));
    add(row<empty_channel>("receive_until", [](auto& s) { s.got = s.c.receive_until(never).value; }));
    add(row<empty_channel>("range-for", [](auto& s) {
      for (int v : s.c) {
        s.got = v;
        break;
      }
    }));
    add(row<half_empty_channel>("receive_n", [](auto& s) { EXPECT_EQ(s.c.receive_n(s.got), 2u); }));
    add(row<empty_channel>("select, receiving", [](auto& s) { select(on_timeout(1h), on_receive(s.c, s.got)); }));
    add(row<empty_channel>("selector::run", [](auto& s) {
      selector many;
      many.add(on_receive(s.c, s.got)).add(on_receive(channel<int>())).add(on_timeout(1h));
      many.run();
    }));
    add(row<receiving_rendezvous>("receive from a sender", [](auto& s) { s.got = s.c.receive(); },
                                  [](auto& s, auto& ctx) { s.got = s.c.receive(ctx); }));
    add(row<receiving_rendezvous>("select, receiving from a sender", [](auto& s) { select(on_receive(s.c, s.got)); }));

    add(row<sleeper>("sleep_for", [](auto& s) { sleep_for(s.length()); }));
    add(row<sleeper>("sleep_until", [](auto& s) { sleep_until(s.made + s.length()); }));
    add(row<sleeper>("select, with a limit", [](auto& s) { select(on_timeout(s.length())); }));
    add(row<pending_timer>("timer", [](auto& s) { s.got = s.t.receive(); },
                           [](auto& s, auto& ctx) { s.got = s.t.receive(ctx); }));
    add(row<pending_ticker>("ticker", [](auto& s) { s.got = s.t.receive(); },
                            [](auto& s, auto& ctx) { s.got = s.t.receive(ctx); }));

    add(row<running_task>("task::get", [](auto& s) { s.result = s.t.get(); }));
    add(row<running_task>("task::join", [](auto& s) { s.t.join(); }));
    add(row<running_task>("select, joining", [](auto& s) { select(on_join(s.t)); }));
    add(row<shielded_task>("~task", [](auto& s) { s.t = {}; }).ignores());
    add(row<shielded_function>("~after_func_handle", [](auto& s) { s.h = {}; }).ignores());
    add(row<busy_group>("task_group::wait", [](auto& s) { s.g.wait(); }));
    add(row<busy_group>("task_group::wait_for", [](auto& s) { EXPECT_TRUE(s.g.wait_for(1h)); }));
    add(row<group_at_its_limit>("task_group::go", [](auto& s) { s.g.go([&s] { s.ran = true; }); }).looks_late());
    add(row<pool_call>("blocking", [](auto& s) {
          s.result = blocking([&s](const std::stop_token& stop) { return s.call(stop); });
        }).stops());

    add(row<counting_group>("wait_group::wait", [](auto& s) { s.w.wait(); }, [](auto& s, auto& ctx) { s.w.wait(ctx); }));
    add(row<counting_group>("wait_group::wait_for", [](auto& s) { EXPECT_TRUE(s.w.wait_for(1h)); }));
    add(row<locked_mutex>("mutex::lock(ctx)", [](auto& s) { s.m.lock(context::background()); },
                          [](auto& s, auto& ctx) { s.m.lock(ctx); }));
    add(row<locked_mutex>("mutex::lock", [](auto& s) { s.m.lock(); }).ignores());
    add(row<locked_mutex>("mutex::try_lock_for", [](auto& s) { EXPECT_TRUE(s.m.try_lock_for(1h)); }).ignores());

    add(row<empty_pipe>("wait_readable", [](auto& s) { wait_readable(s.ends[0]); },
                        [](auto& s, auto& ctx) { wait_readable(ctx, s.ends[0]); }));
    add(row<empty_pipe>("wait_readable_for", [](auto& s) { EXPECT_TRUE(wait_readable_for(s.ends[0], 1h)); }));
    add(row<empty_pipe>("select, readable", [](auto& s) { select(on_readable(s.ends[0])); }));
    add(row<full_pipe>("wait_writable", [](auto& s) { wait_writable(s.ends[1]); },
                       [](auto& s, auto& ctx) { wait_writable(ctx, s.ends[1]); }));
    add(row<full_pipe>("select, writable", [](auto& s) { select(on_writable(s.ends[1])); }));
    add(row<awaited_signal>("signal_channel", [](auto& s) { s.got = s.signals.receive(); },
                            [](auto& s, auto& ctx) { s.got = s.signals.receive(ctx); }));
    add(row<watched_context>("select, watching a context", [](auto& s) { select(on_done(s.c.ctx)); }));

    add(row<nothing>("yield", [](auto&) { yield(); }).never_parks());
    add(row<nothing>("sleep_for nothing", [](auto&) { sleep_for(0s); }).never_parks());
    add(row<nothing>("checkpoint", [](auto&) { this_fiber::checkpoint(); }).never_parks());
    add(row<nothing>("context::check", [](auto&) { context::current().check(); }).never_parks());
    add(row<nothing>("try_send", [](auto& s) { EXPECT_EQ(s.c.try_send(1), channel_status::ok); }).never_parks().ignores());
    add(row<nothing>("try_receive", [](auto& s) { EXPECT_FALSE(s.c.try_receive()); }).never_parks().ignores());
    add(row<nothing>("select with otherwise", [](auto& s) { EXPECT_EQ(select(on_receive(s.c), otherwise()), 1u); })
            .never_parks()
            .ignores());
    add(row<nothing>("close", [](auto& s) { EXPECT_TRUE(s.c.close()); }).never_parks().ignores());
    return t;
  }();
  return table;
}

}  // namespace runnel::test
