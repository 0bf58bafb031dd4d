// Every operation that may block, as a table: a new one is one row, and a state if none fits.
#pragma once

#include "cancellation_coordination.hpp"
#include "cancellation_patterns.hpp"
#include "cancellation_states.hpp"

#include <runnel/sync/scalable_shared_mutex.hpp>
#include <runnel/sync/shared_mutex.hpp>

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace runnel::test {

enum class answer { throws, ignores, stops };

struct operation {
  std::string name;
  std::function<std::unique_ptr<state>()> make;
  std::function<void(state&)> block;
  std::function<void(state&, const context&)> block_with;  ///< empty: there is no overload
  std::size_t others;
  bool can_unblock;
  bool unblocks_early;
  bool slow;
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
              .unblocks_early = S::unblocks_early,
              .slow = S::slow};
  if (block_with) o.block_with = [block_with](state& s, const context& c) { block_with(static_cast<S&>(s), c); };
  return o;
}

inline const std::vector<operation>& operations() {
  static const std::vector<operation> table = [] {
    std::vector<operation> t;
    const auto add = [&](operation o) { t.push_back(std::move(o)); };

    add(row<full_channel>("send", [](auto& s) { s.c.send(std::move(s.values[0])); },
                          [](auto& s, auto& ctx) { s.c.send(ctx, std::move(s.values[0])); }));
    add(row<full_channel>("send_for", [](auto& s) { s.c.send_for(std::move(s.values[0]), 1h); }));
    add(row<full_channel>("send_until", [](auto& s) { s.c.send_until(std::move(s.values[0]), never); }));
    add(row<full_channel>("send_n", [](auto& s) { EXPECT_EQ(s.c.send_n(s.values), 1u); },
                          [](auto& s, auto& ctx) { EXPECT_EQ(s.c.send_n(ctx, s.values), 1u); }));
    add(row<half_full_channel>("send_n of two", [](auto& s) { EXPECT_EQ(s.c.send_n(s.values), 2u); },
                               [](auto& s, auto& ctx) { EXPECT_EQ(s.c.send_n(ctx, s.values), 2u); }));
    add(row<full_channel>("select, sending", [](auto& s) { select(on_send(s.c, std::move(s.values[0]))); },
                          [](auto& s, auto& ctx) { select(ctx, on_send(s.c, std::move(s.values[0]))); }));
    add(row<sending_rendezvous>("send to a receiver", [](auto& s) { s.c.send(std::move(s.value)); },
                                [](auto& s, auto& ctx) { s.c.send(ctx, std::move(s.value)); }));
    add(row<sending_rendezvous>("select, sending to a receiver",
                                [](auto& s) { select(on_timeout(1h), on_send(s.c, std::move(s.value))); },
                                [](auto& s, auto& ctx) { select(ctx, on_send(s.c, std::move(s.value))); }));
    add(row<full_one_to_one>("send_n, one to one", [](auto& s) { EXPECT_EQ(s.c.tx.send_n(s.values), 1u); },
                             [](auto& s, auto& ctx) { EXPECT_EQ(s.c.tx.send_n(ctx, s.values), 1u); }));

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
    add(row<half_empty_channel>("receive_n", [](auto& s) { EXPECT_EQ(s.c.receive_n(s.got), 2u); },
                                [](auto& s, auto& ctx) { EXPECT_EQ(s.c.receive_n(ctx, s.got), 2u); }));
    add(row<empty_one_to_one>("receive_n, one to one", [](auto& s) { EXPECT_EQ(s.c.rx.receive_n(s.got), 1u); },
                              [](auto& s, auto& ctx) { EXPECT_EQ(s.c.rx.receive_n(ctx, s.got), 1u); }));
    add(row<empty_channel>("select, receiving", [](auto& s) { select(on_timeout(1h), on_receive(s.c, s.got)); },
                           [](auto& s, auto& ctx) { select(ctx, on_receive(s.c, s.got)); }));
    add(row<awaited_selector>("selector::run", [](auto& s) { s.many.run(); },
                              [](auto& s, auto& ctx) { s.many.run(ctx); }));
    add(row<receiving_rendezvous>("receive from a sender", [](auto& s) { s.got = s.c.receive(); },
                                  [](auto& s, auto& ctx) { s.got = s.c.receive(ctx); }));
    add(row<receiving_rendezvous>("select, receiving from a sender", [](auto& s) { select(on_receive(s.c, s.got)); },
                                  [](auto& s, auto& ctx) { select(ctx, on_receive(s.c, s.got)); }));

    add(row<sleeper>("sleep_for", [](auto& s) { sleep_for(s.length()); },
                     [](auto& s, auto& ctx) { sleep_for(ctx, s.length()); }));
    add(row<sleeper>("sleep_until", [](auto& s) { sleep_until(s.made + s.length()); },
                     [](auto& s, auto& ctx) { sleep_until(ctx, s.made + s.length()); }));
    add(row<sleeper>("select, with a limit", [](auto& s) { select(on_timeout(s.length())); },
                     [](auto& s, auto& ctx) { select(ctx, on_timeout(s.length())); }));
    add(row<pending_timer>("timer", [](auto& s) { s.got = s.t.receive(); },
                           [](auto& s, auto& ctx) { s.got = s.t.receive(ctx); }));
    add(row<pending_ticker>("ticker", [](auto& s) { s.got = s.t.receive(); },
                            [](auto& s, auto& ctx) { s.got = s.t.receive(ctx); }));

    add(row<running_task>("task::get", [](auto& s) { s.result = s.t.get(); },
                          [](auto& s, auto& ctx) { s.result = s.t.get(ctx); }));
    add(row<running_task>("task::join", [](auto& s) { s.t.join(); }, [](auto& s, auto& ctx) { s.t.join(ctx); }));
    add(row<running_task>("select, joining", [](auto& s) { select(on_join(s.t)); },
                          [](auto& s, auto& ctx) { select(ctx, on_join(s.t)); }));
    add(row<shielded_task>("~task", [](auto& s) { s.t = {}; }).ignores());
    add(row<shielded_function>("~after_func_handle", [](auto& s) { s.h = {}; }).ignores());
    add(row<busy_group>("task_group::wait", [](auto& s) { s.g.wait(); }, [](auto& s, auto& ctx) { s.g.wait(ctx); }));
    add(row<busy_group>("task_group::wait_for", [](auto& s) { EXPECT_TRUE(s.g.wait_for(1h)); }));
    add(row<group_at_its_limit>("task_group::go", [](auto& s) { s.g.go([&s] { s.ran = true; }); },
                                [](auto& s, auto& ctx) { s.g.go(ctx, [&s] { s.ran = true; }); })
            .looks_late());
    add(row<group_of_a_body>("with_task_group", [](auto& s) { with_task_group(std::ref(s)); },
                             [](auto& s, auto& ctx) { with_task_group(ctx, std::ref(s)); }));
    add(row<pool_call>("blocking", [](auto& s) { s.result = blocking(s); },
                       [](auto& s, auto& ctx) { s.result = blocking(ctx, s); })
            .stops());

    add(row<counting_group>("wait_group::wait", [](auto& s) { s.w.wait(); },
                            [](auto& s, auto& ctx) { s.w.wait(ctx); }));
    add(row<counting_group>("wait_group::wait_for", [](auto& s) { EXPECT_TRUE(s.w.wait_for(1h)); }));
    add(row<counting_latch>("latch::wait", [](auto& s) { s.l.wait(); }, [](auto& s, auto& ctx) { s.l.wait(ctx); }));
    add(row<counting_latch>("latch::wait_for", [](auto& s) { EXPECT_TRUE(s.l.wait_for(1h)); }));
    add(row<unset_event>("event::wait", [](auto& s) { s.e.wait(); }, [](auto& s, auto& ctx) { s.e.wait(ctx); }));
    add(row<unset_event>("event::wait_for", [](auto& s) { EXPECT_TRUE(s.e.wait_for(1h)); }));
    add(row<unset_auto_event>("auto_reset_event::wait", [](auto& s) { s.e.wait(); },
                              [](auto& s, auto& ctx) { s.e.wait(ctx); }));
    add(row<unset_auto_event>("auto_reset_event::wait_for", [](auto& s) { EXPECT_TRUE(s.e.wait_for(1h)); }));
    add(row<waiting_barrier>("barrier::arrive_and_wait", [](auto& s) { s.b.arrive_and_wait(); },
                             [](auto& s, auto& ctx) { s.b.arrive_and_wait(ctx); }));
    add(row<waiting_barrier>("barrier::arrive_and_wait_for", [](auto& s) { EXPECT_TRUE(s.b.arrive_and_wait_for(1h)); }));
    add(row<arrived_barrier>("barrier::wait", [](auto& s) { s.b.wait(std::move(s.token)); },
                             [](auto& s, auto& ctx) { s.b.wait(ctx, std::move(s.token)); }));
    add(row<arriving_at_a_latch>("latch::arrive_and_wait", [](auto& s) { s.l.arrive_and_wait(); },
                                 [](auto& s, auto& ctx) { s.l.arrive_and_wait(ctx); }));
    add(row<running_lazy>("lazy::get", [](auto& s) { s.got = s.l.get(); },
                          [](auto& s, auto& ctx) { s.got = s.l.get(ctx); })
            .looks_late());
    add(row<lone_lazy>("lazy::get by its own function", [](auto& s) { s.got = s.l.get(); },
                       [](auto& s, auto& ctx) { s.got = s.l.get(ctx); }));
    add(row<drained_limiter>("rate_limiter::wait", [](auto& s) { s.l.wait(); },
                             [](auto& s, auto& ctx) { s.l.wait(ctx); }));
    add(row<drained_limiter>("rate_limiter::wait_for", [](auto& s) { EXPECT_TRUE(s.l.wait_for(1h)); }));
    add(row<drained_key>("keyed_rate_limiter::wait", [](auto& s) { s.l.wait(1); },
                         [](auto& s, auto& ctx) { s.l.wait(ctx, 1); }));
    add(row<boarded_flight>("single_flight::run", [](auto& s) { s.got = s.flights.run(1, [] { return 7; }); },
                            [](auto& s, auto& ctx) { s.got = s.flights.run(ctx, 1, [] { return 7; }); }));
    add(row<lone_flight>("single_flight::run of its own function",
                         [](auto& s) { s.got = s.flights.run_shared(1, std::ref(s)).value; },
                         [](auto& s, auto& ctx) { s.got = s.flights.run_shared(ctx, 1, std::ref(s)).value; }));
    add(row<loading_cache>("cache::get_or_load", [](auto& s) { s.got = s.c.get_or_load(1, [] { return 0; }); },
                           [](auto& s, auto& ctx) { s.got = s.c.get_or_load(ctx, 1, [] { return 0; }); })
            .looks_late());
    add(row<lone_load>("cache::get_or_load by its own function", [](auto& s) { s.got = s.c.get_or_load(1, std::ref(s)); },
                       [](auto& s, auto& ctx) { s.got = s.c.get_or_load(ctx, 1, std::ref(s)); }));
    add(row<second_attempt>("retry", [](auto& s) { retry(s.policy(), s); },
                            [](auto& s, auto& ctx) { retry(ctx, s.policy(), s); }));
    add(row<guarded_call>("circuit_breaker::call", [](auto& s) { s.got = s.b.call(s); },
                          [](auto& s, auto& ctx) { s.got = s.b.call(ctx, s); }));
    add(row<hedged_function>("hedge", [](auto& s) { s.got = hedge({.attempts = 1}, [&s] { return s(); }); },
                             [](auto& s, auto& ctx) { s.got = hedge(ctx, {.attempts = 1}, [&s] { return s(); }); }));

    add(row<busy_batcher>("batcher::add", [](auto& s) { s.b.add(2); }, [](auto& s, auto& ctx) { s.b.add(ctx, 2); }));
    add(row<flushing_batcher>("batcher::flush", [](auto& s) { s.b.flush(); },
                              [](auto& s, auto& ctx) { s.b.flush(ctx); }));
    add(row<closing_batcher>("batcher::close", [](auto& s) { s.b.close(); },
                             [](auto& s, auto& ctx) { s.b.close(ctx); }));
    add(row<busy_pool>("worker_pool::submit", [](auto& s) { s.third.emplace(s.pool.submit(3)); },
                       [](auto& s, auto& ctx) { s.third.emplace(s.pool.submit(ctx, 3)); }));
    add(row<posting_pool>("worker_pool::post", [](auto& s) { s.pool.post(3); },
                          [](auto& s, auto& ctx) { s.pool.post(ctx, 3); }));
    add(row<awaited_job>("job::get", [](auto& s) { s.got = s.first->get(); },
                         [](auto& s, auto& ctx) { s.got = s.first->get(ctx); }));
    add(row<awaited_job>("job::join", [](auto& s) { s.first->join(); },
                         [](auto& s, auto& ctx) { s.first->join(ctx); }));
    add(row<ending_pool>("worker_pool::drain", [](auto& s) { s.pool.drain(); },
                         [](auto& s, auto& ctx) { s.pool.drain(ctx); }));
    add(row<ending_pool>("worker_pool::shutdown", [](auto& s) { EXPECT_TRUE(s.pool.shutdown(1h)); },
                         [](auto& s, auto& ctx) { EXPECT_TRUE(s.pool.shutdown(ctx, no_limit)); }));
    add(row<busy_actor>("actor::tell", [](auto& s) { s.a.tell(2); }, [](auto& s, auto& ctx) { s.a.tell(ctx, 2); }));
    add(row<ending_actor>("actor::join", [](auto& s) { s.a.join(); }, [](auto& s, auto& ctx) { s.a.join(ctx); }));
    add(row<asked_actor>("actor::ask", [](auto& s) { s.got = s.a.template ask<int>(std::identity()); },
                         [](auto& s, auto& ctx) { s.got = s.a.template ask<int>(ctx, std::identity()); }));
    add(row<open_question>("pending_reply::get", [](auto& s) { s.got = s.q.answer.get(); },
                           [](auto& s, auto& ctx) { s.got = s.q.answer.get(ctx); }));
    add(row<busy_server>("server::wait", [](auto& s) { s.s.wait(); }, [](auto& s, auto& ctx) { s.s.wait(ctx); }));
    add(row<busy_server>("server::shutdown", [](auto& s) { EXPECT_EQ(s.s.shutdown(1h).canceled, 0u); },
                         [](auto& s, auto& ctx) { EXPECT_EQ(s.s.shutdown(ctx, no_limit).canceled, 0u); }));
    add(row<busy_group>("shutdown of a task_group", [](auto& s) { EXPECT_TRUE(shutdown(s.g, 1h)); },
                        [](auto& s, auto& ctx) { EXPECT_TRUE(shutdown(ctx, s.g, no_limit)); }));
    add(row<listening_socket>("listener::accept", [](auto& s) { s.got.emplace(s.l.accept()); },
                              [](auto& s, auto& ctx) { s.got.emplace(s.l.accept(ctx)); }));
    add(row<waiting_stream>("stream::receive", [](auto& s) { s.got = s.s.receive(); },
                            [](auto& s, auto& ctx) { s.got = s.s.receive(ctx); }));
    add(row<waiting_pipeline>("pipeline::collect", [](auto& s) { s.got = from(s.source).collect().size(); },
                              [](auto& s, auto& ctx) { s.got = from(s.source).collect(ctx).size(); }));
    add(row<waiting_pipeline>("pipeline::for_each", [](auto& s) { s.take_each(); },
                              [](auto& s, auto& ctx) { s.take_each(ctx); }));
    add(row<waiting_pipeline>("pipeline::drain", [](auto& s) { s.got = from(s.source).drain(); },
                              [](auto& s, auto& ctx) { s.got = from(s.source).drain(ctx); }));

    add(row<awaited_creation>("concurrent_map::get_or_create",
                              [](auto& s) { s.got = s.m.get_or_create(1, [] { return 0; }); },
                              [](auto& s, auto& ctx) { s.got = s.m.get_or_create(ctx, 1, [] { return 0; }); })
            .looks_late());
    add(row<lone_creation>("concurrent_map::get_or_create by its own function",
                           [](auto& s) { s.got = s.m.get_or_create(1, std::ref(s)); },
                           [](auto& s, auto& ctx) { s.got = s.m.get_or_create(ctx, 1, std::ref(s)); }));
    add(row<running_once>("once::call", [](auto& s) { s.o.call([] {}); }).ignores());

    add(row<locked_mutex>("mutex::lock(ctx)", [](auto& s) { s.m.lock(context::background()); },
                          [](auto& s, auto& ctx) { s.m.lock(ctx); }));
    add(row<locked_mutex>("mutex::lock", [](auto& s) { s.m.lock(); }).ignores());
    add(row<one_of_the_locks>("lock_all(ctx)", [](auto& s) { s.held.emplace(context::background(), s.a, s.b); },
                              [](auto& s, auto& ctx) { s.held.emplace(ctx, s.a, s.b); }));
    add(row<one_of_the_locks>("lock_all", [](auto& s) { s.held.emplace(s.a, s.b); }).ignores());
    add(row<locked_value>("guarded::lock(ctx)", [](auto& s) { s.use(s.g.lock(context::background())); },
                          [](auto& s, auto& ctx) { s.use(s.g.lock(ctx)); }));
    add(row<locked_value>("guarded::with(ctx)", [](auto& s) { s.g.with(context::background(), [](int& v) { v = 1; }); },
                          [](auto& s, auto& ctx) { s.g.with(ctx, [](int& v) { v = 1; }); }));
    add(row<locked_value>("guarded::with", [](auto& s) { s.g.with([](int& v) { v = 1; }); }).ignores());
    add(row<locked_mutex>("mutex::try_lock_for", [](auto& s) { EXPECT_TRUE(s.m.try_lock_for(1h)); }).ignores());

    add(row<awaited_condition>(
        "condition_variable::wait",
        [](auto& s) {
          std::unique_lock lock(s.m);
          s.changed.wait(lock, [&] { return s.happened; });
        },
        [](auto& s, auto& ctx) {
          std::unique_lock lock(s.m);
          s.changed.wait(ctx, lock, [&] { return s.happened; });
        }));
    add(row<awaited_condition>("condition_variable::wait_for", [](auto& s) {
      std::unique_lock lock(s.m);
      EXPECT_TRUE(s.changed.wait_for(lock, 1h, [&] { return s.happened; }));
    }));
    const auto add_shared = [&]<class Lock>(const std::string& name, std::type_identity<Lock>) {
      using reading = locked_shared_mutex<Lock, true>;
      using writing = locked_shared_mutex<Lock, false>;
      add(row<reading>(name + "::lock_shared(ctx)", [](auto& s) { s.m.lock_shared(context::background()); },
                       [](auto& s, auto& ctx) { s.m.lock_shared(ctx); }));
      add(row<reading>(name + "::lock_shared", [](auto& s) { s.m.lock_shared(); }).ignores());
      add(row<reading>(name + "::try_lock_shared_for", [](auto& s) { EXPECT_TRUE(s.m.try_lock_shared_for(1h)); }).ignores());
      add(row<writing>(name + "::lock(ctx)", [](auto& s) { s.m.lock(context::background()); },
                       [](auto& s, auto& ctx) { s.m.lock(ctx); }));
      add(row<writing>(name + "::lock", [](auto& s) { s.m.lock(); }).ignores());
      add(row<writing>(name + "::try_lock_for", [](auto& s) { EXPECT_TRUE(s.m.try_lock_for(1h)); }).ignores());
    };
    add_shared("shared_mutex", std::type_identity<shared_mutex>());
    add_shared("scalable_shared_mutex", std::type_identity<scalable_shared_mutex>());
    add(row<empty_semaphore>("semaphore::acquire", [](auto& s) { s.s.acquire(2); },
                             [](auto& s, auto& ctx) { s.s.acquire(ctx, 2); }));
    add(row<empty_semaphore>("semaphore::try_acquire_for", [](auto& s) { EXPECT_TRUE(s.s.try_acquire_for(1h, 2)); }));
    add(row<empty_semaphore>("select, acquiring", [](auto& s) { select(on_acquire(s.s, 2)); },
                             [](auto& s, auto& ctx) { select(ctx, on_acquire(s.s, 2)); }));
    add(row<wanted_permit>("permit", [](auto& s) { s.p.emplace(s.s, 2); },
                           [](auto& s, auto& ctx) { s.p.emplace(ctx, s.s, 2); }));

    add(row<empty_pipe>("wait_readable", [](auto& s) { wait_readable(s.ends[0]); },
                        [](auto& s, auto& ctx) { wait_readable(ctx, s.ends[0]); }));
    add(row<empty_pipe>("wait_readable_for", [](auto& s) { EXPECT_TRUE(wait_readable_for(s.ends[0], 1h)); }));
    add(row<empty_pipe>("select, readable", [](auto& s) { select(on_readable(s.ends[0])); },
                        [](auto& s, auto& ctx) { select(ctx, on_readable(s.ends[0])); }));
    add(row<full_pipe>("wait_writable", [](auto& s) { wait_writable(s.ends[1]); },
                       [](auto& s, auto& ctx) { wait_writable(ctx, s.ends[1]); }));
    add(row<full_pipe>("select, writable", [](auto& s) { select(on_writable(s.ends[1])); },
                       [](auto& s, auto& ctx) { select(ctx, on_writable(s.ends[1])); }));
    add(row<awaited_signal>("signal_channel", [](auto& s) { s.got = s.signals.receive(); },
                            [](auto& s, auto& ctx) { s.got = s.signals.receive(ctx); }));
    add(row<watched_context>("select, watching a context", [](auto& s) { select(on_done(s.c.ctx)); },
                             [](auto& s, auto& ctx) { select(ctx, on_done(s.c.ctx)); }));

    add(row<nothing>("yield", [](auto&) { yield(); }).never_parks());
    add(row<nothing>("sleep_for nothing", [](auto&) { sleep_for(0s); }, [](auto&, auto& ctx) { sleep_for(ctx, 0s); })
            .never_parks());
    add(row<nothing>("send_n of nothing", [](auto& s) { EXPECT_EQ(s.c.send_n({}), 0u); },
                     [](auto& s, auto& ctx) { EXPECT_EQ(s.c.send_n(ctx, {}), 0u); })
            .never_parks());
    add(row<nothing>("receive_n of nothing", [](auto& s) { EXPECT_EQ(s.c.receive_n({}), 0u); },
                     [](auto& s, auto& ctx) { EXPECT_EQ(s.c.receive_n(ctx, {}), 0u); })
            .never_parks());
    add(row<nothing>("checkpoint", [](auto&) { this_fiber::checkpoint(); }).never_parks());
    add(row<nothing>("context::check", [](auto&) { context::current().check(); }).never_parks());
    add(row<nothing>("try_send", [](auto& s) { EXPECT_EQ(s.c.try_send(1), channel_status::ok); }).never_parks().ignores());
    add(row<nothing>("try_receive", [](auto& s) { EXPECT_FALSE(s.c.try_receive()); }).never_parks().ignores());
    add(row<nothing>("select with otherwise", [](auto& s) { EXPECT_EQ(select(on_receive(s.c), otherwise()), 1u); },
                     [](auto& s, auto& ctx) { EXPECT_EQ(select(ctx, on_receive(s.c), otherwise()), 1u); })
            .never_parks()
            .ignores());
    add(row<nothing>("close", [](auto& s) { EXPECT_TRUE(s.c.close()); }).never_parks().ignores());
    return t;
  }();
  return table;
}

}  // namespace runnel::test
