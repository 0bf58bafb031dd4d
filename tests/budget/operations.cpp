// A steady state, and no chance. Counts recur: a turn is over after 128 operations, the shared queues are looked at every 61
// dispatches, the run-next slot gives way after 3. `steps` is a multiple of all of them, so that each recurs a whole number of
// times wherever the first one falls. What is only there to make an operation possible is not counted, and spends no turn:
// try_ forms do not.
#include "operations.hpp"

#include <runnel/patterns/cache.hpp>
#include <runnel/patterns/rate_limiter.hpp>
#include <runnel/patterns/single_flight.hpp>
#include <runnel/lockfree/mpmc_queue.hpp>
#include <runnel/lockfree/mpsc_queue.hpp>
#include <runnel/lockfree/spsc_queue.hpp>
#include <runnel/lockfree/hazard_pointer.hpp>
#include <runnel/lockfree/stack.hpp>
#include <runnel/lockfree/rcu.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/scalable_shared_mutex.hpp>
#include <runnel/sync/shared_mutex.hpp>
#include <runnel/sync/concurrent_map.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/sync/latch.hpp>
#include <runnel/sync/once.hpp>
#include <runnel/sync/pool.hpp>
#include <runnel/sync/striped_counter.hpp>

#include <atomic>
#include <chrono>
#include <mutex>
#include <utility>
#include <vector>

namespace budget {

namespace {

using namespace std::chrono_literals;

constexpr std::int64_t steps = 128 * 61 * 3;

/// n calls of step(), counted after as many that are not.
template <class F>
measured repeat(std::int64_t n, F&& step) {
  for (std::int64_t i = 0; i < n; ++i) step();
  const counts before = now();
  for (std::int64_t i = 0; i < n; ++i) step();
  return {now() - before, n};
}
template <class F>
measured repeat(F&& step) {
  return repeat(steps, std::forward<F>(step));
}

/// The same where each step has a part that is not counted.
template <class Counted, class Rest>
measured repeat_part(Counted&& counted, Rest&& rest) {
  measured m;
  for (int round = 0; round < 2; ++round) {
    m = {};
    for (std::int64_t i = 0; i < steps; ++i) {
      const counts before = now();
      counted();
      m.total = m.total + (now() - before);
      ++m.operations;
      rest();
    }
  }
  return m;
}

measured of_each(std::int64_t operations_in_a_step, measured m) {
  m.operations *= operations_in_a_step;
  return m;
}

// ---- channels

measured pingpong() {
  auto ping = runnel::make_channel<int>();
  auto pong = runnel::make_channel<int>();
  const auto partner = runnel::go([rx = std::move(ping.rx), tx = std::move(pong.tx)] {
    for (int v : rx) tx.send(v);
  });
  const measured m = of_each(2, repeat([&] {
    ping.tx.send(1);
    pong.rx.receive();
  }));
  ping.tx = {};
  return m;
}

/// One fiber sends all the time, the caller receives.
measured stream(std::size_t capacity) {
  auto [tx, rx] = runnel::make_channel<int>(capacity);
  const auto sender = runnel::go([tx = std::move(tx)] {
    for (;;) tx.send(1);
  });
  return repeat([&rx = rx] { rx.receive(); });
}

measured send_buffered() {
  const auto [tx, rx] = runnel::make_channel<int>(64);
  return repeat_part([&tx = tx] { tx.send(1); }, [&rx = rx] { rx.try_receive(); });
}
measured receive_buffered() {
  const auto [tx, rx] = runnel::make_channel<int>(64);
  tx.try_send(1);
  return repeat_part([&rx = rx] { rx.receive(); }, [&tx = tx] { tx.try_send(1); });
}
measured try_send_full() {
  const auto [tx, rx] = runnel::make_channel<int>(1);
  tx.try_send(1);
  return repeat([&tx = tx] { tx.try_send(1); });
}
measured try_receive_empty() {
  const auto [tx, rx] = runnel::make_channel<int>(1);
  return repeat([&rx = rx] { rx.try_receive(); });
}
measured send_one_to_one() {
  const auto [tx, rx] = runnel::make_channel<int, runnel::spsc>(64);
  return repeat_part([&tx = tx] { tx.send(1); }, [&rx = rx] { rx.try_receive(); });
}
measured stream_one_to_one() {
  auto [tx, rx] = runnel::make_channel<int, runnel::spsc>(64);
  const auto sender = runnel::go([tx = std::move(tx)] {
    for (;;) tx.send(1);
  });
  return repeat([&rx = rx] { rx.receive(); });
}
measured batches(std::size_t n) {
  const auto [tx, rx] = runnel::make_channel<int>(64);
  int values[64] = {};
  return repeat([&tx = tx, &rx = rx, some = std::span(values, n)] {
    tx.send_n(some);
    rx.receive_n(some);
  });
}
measured create_channel(std::size_t capacity) {
  return repeat([=] { runnel::make_channel<int>(capacity); });
}

// ---- select

template <std::size_t... I>
measured select_ready(std::index_sequence<I...>) {
  runnel::channel<int> channels[] = {runnel::channel<int>((static_cast<void>(I), 1))...};
  for (auto& c : channels) c.try_send(1);
  std::size_t chosen = 0;
  return repeat_part([&] { chosen = runnel::select(runnel::on_receive(channels[I])...); },
                     [&] { channels[chosen].try_send(1); });
}

/// As ping-pong, but one of the two waits for its message in a select; the plain message is taken off.
measured select_parks() {
  runnel::channel<int> ping, pong, silent;
  const auto partner = runnel::go([=] {
    for (int v : ping) pong.send(v);
  });
  const measured round = repeat([&] {
    ping.send(1);
    runnel::select(runnel::on_receive(silent), runnel::on_receive(pong));
  });
  ping.close();
  const measured plain = pingpong();  // two messages a step
  return {round.total + round.total - plain.total, plain.operations};
}

measured select_one_otherwise() {
  runnel::channel<int> a(1);
  return repeat([&] { runnel::select(runnel::on_receive(a), runnel::otherwise()); });
}
measured select_otherwise() {
  runnel::channel<int> a(1), b(1);
  return repeat([&] { runnel::select(runnel::on_receive(a), runnel::on_receive(b), runnel::otherwise()); });
}

// ---- fibers

measured yield() {
  const auto other = runnel::go([] {
    for (;;) runnel::yield();
  });
  return of_each(2, repeat([] { runnel::yield(); }));
}

measured go_and_join() {
  return repeat([] { runnel::go([] {}).join(); });
}

constexpr std::int64_t batch = 1000;

measured go_and_join_batch() {
  std::vector<runnel::task<void>> tasks;
  tasks.reserve(batch);
  return of_each(batch, repeat(48, [&] {
    for (std::int64_t i = 0; i < batch; ++i) tasks.push_back(runnel::go([] {}));
    for (auto& t : tasks) t.join();
    tasks.clear();
  }));
}

measured empty_group() {
  return repeat([] { runnel::with_task_group([](runnel::task_group&) {}); });
}

measured group_tasks(runnel::task_group_options options) {
  runnel::task_group group(options);
  return of_each(batch, repeat(48, [&] {
    for (std::int64_t i = 0; i < batch; ++i) group.go([] {});
    group.wait();
  }));
}

// ---- sync

measured mutex_pair() {
  runnel::mutex m;
  return repeat([&] {
    m.lock();
    m.unlock();
  });
}
template <class Lock>
measured read_pair() {
  Lock m;
  return repeat([&] {
    m.lock_shared();
    m.unlock_shared();
  });
}
measured write_pair() {
  runnel::shared_mutex m;
  return repeat([&] {
    m.lock();
    m.unlock();
  });
}
measured semaphore_pair() {
  runnel::semaphore s(2);
  return repeat([&] {
    s.acquire();
    s.release();
  });
}
measured allow(std::uint64_t burst) {
  runnel::rate_limiter limiter(runnel::rate::every(1h), burst);
  static_cast<void>(limiter.allow());
  return repeat([&] { static_cast<void>(limiter.allow()); });
}
measured flight_alone() {
  runnel::single_flight<int, int> flights;
  return repeat([&] { static_cast<void>(flights.run(1, [] { return 1; })); });
}
measured cache_hit() {
  runnel::cache<int, int> c;
  return repeat([&] { static_cast<void>(c.get_or_load(1, [] { return 1; })); });
}
measured notify_nobody() {
  runnel::condition_variable c;
  return repeat([&] { c.notify_one(); });
}
/// Two take turns; per turn.
measured take_turns() {
  runnel::mutex m;
  runnel::condition_variable changed;
  bool mine = true, over = false;
  const auto turn = [&](std::unique_lock<runnel::mutex>& lock, bool me) {
    mine = !me;
    changed.notify_one();
    changed.wait(lock, [&] { return mine == me; });
  };
  const auto partner = runnel::go([&] {
    std::unique_lock lock(m);
    changed.wait(lock, [&] { return !mine; });
    while (!over) turn(lock, false);
    mine = true;
    changed.notify_one();
  });
  std::unique_lock lock(m);
  const measured r = of_each(2, repeat([&] { turn(lock, true); }));
  over = true;
  turn(lock, true);
  return r;
}
measured wait_group_pair() {
  runnel::wait_group g;
  return repeat([&] {
    g.add();
    g.done();
  });
}

// ---- contexts and timers

measured once_done() {
  runnel::once o;
  o.call([] {});
  return repeat([&] { o.call([] {}); });
}

measured latch_pair() {
  runnel::latch l(2 * steps);
  measured m = repeat([&] { l.count_down(); });
  const measured waits = repeat([&] { l.wait(); });
  m.total = m.total + waits.total;
  return m;
}

measured event_round() {
  runnel::event e;
  return repeat([&] {
    e.set();
    e.wait();
    e.reset();
  });
}

measured many_to_many() {
  runnel::lockfree::mpmc_queue<int> q(64);
  return repeat([&] { q.try_push(1), q.try_pop(); });
}
measured one_to_one() {
  runnel::lockfree::spsc_queue<int> q(64);
  return repeat([&] { q.try_push(1), q.try_pop(); });
}
measured many_to_one() {
  runnel::lockfree::mpsc_queue<int> q;
  return repeat([&] { q.push(1), q.try_pop(); });
}
measured count_striped() {
  runnel::striped_counter c;
  return repeat([&] { c.add(); });
}

measured pool_round() {
  runnel::pool<int> p;
  return repeat([&] { p.get().give_back(); });
}

measured read_section() {
  return repeat([] { const std::scoped_lock section(runnel::rcu_default_domain()); });
}
measured read_cell() {
  const runnel::rcu<int> cell(1);
  return repeat([&] { static_cast<void>(cell.read([](int v) { return v; })); });
}
/// What retires, and deletes what was retired.
measured update_cell() {
  runnel::rcu<int> cell(1);
  const measured m = repeat([&] { cell.update([](int v) { return v + 1; }); });
  runnel::rcu_barrier();
  return m;
}

measured map_find() {
  runnel::concurrent_map<int, int> m;
  m.insert(1, 1);
  return repeat([&] { m.find(1); });
}

measured map_insert_erase() {
  runnel::concurrent_map<int, int> m;
  return repeat([&] {
    m.insert(1, 1);
    m.erase(1);
  });
}

measured derive_from_background() {
  const auto parent = runnel::context::background();
  return repeat([&] { runnel::derive_cancel(parent).cancel(); });
}
measured derive_child() {
  const auto parent = runnel::derive_cancel(runnel::context::background());
  return repeat([&] { runnel::derive_cancel(parent.ctx).cancel(); });
}
struct retired : runnel::hazard_pointer_obj_base<retired> {};

measured protect() {
  retired o;
  const std::atomic<retired*> src{&o};
  return repeat([&] {
    runnel::hazard_pointer h = runnel::make_hazard_pointer();
    static_cast<void>(h.protect(src));
  });
}
measured retire() {
  return repeat([] { (new retired)->retire(); });
}
measured stack_pair() {
  runnel::lockfree::stack<int> s;
  return repeat([&] {
    s.push(1);
    s.try_pop();
  });
}
measured check_context() {
  const auto ctx = runnel::context::current();
  return repeat([&] { ctx.check(); });
}
measured checkpoint() {
  return repeat([] { runnel::this_fiber::checkpoint(); });
}
measured timeout() {
  const runnel::timer earlier(1min);
  return repeat([] { runnel::with_timeout(1h, [] {}); });
}
measured arm_and_stop() {
  const runnel::timer earlier(1min);
  return repeat([] { runnel::timer(1h).stop(); });
}

constexpr operation all[] = {
    {"unbuffered message, ping-pong", &pingpong},
    {"unbuffered message, stream", [] { return stream(0); }},
    {"message of a stream, capacity 1", [] { return stream(1); }},
    {"message of a stream, capacity 64", [] { return stream(64); }},
    {"buffered send, nobody waits", &send_buffered},
    {"buffered receive, nobody waits", &receive_buffered},
    {"one-to-one: send, nobody waits", &send_one_to_one},
    {"one-to-one: message of a stream, capacity 64", &stream_one_to_one},
    {"send_n and receive_n of 16, nobody waits", [] { return batches(16); }},
    {"try_send, full", &try_send_full},
    {"try_receive, empty", &try_receive_empty},
    {"create and destroy a channel, unbuffered", [] { return create_channel(0); }},
    {"create and destroy a channel, capacity 64", [] { return create_channel(64); }},
    {"select of 2, both ready", [] { return select_ready(std::make_index_sequence<2>()); }},
    {"select of 8, all ready", [] { return select_ready(std::make_index_sequence<8>()); }},
    {"unbuffered message to a select of 2 that parks", &select_parks},
    {"select of 1, otherwise", &select_one_otherwise},
    {"select of 2, otherwise", &select_otherwise},
    {"yield to another fiber", &yield},
    {"go and join, one at a time", &go_and_join},
    {"go and join, 1,000 at a time", &go_and_join_batch},
    {"with_task_group, empty", &empty_group},
    {"task of a group, 1,000 at a time", [] { return group_tasks({}); }},
    {"task of a group with a limit of 16", [] { return group_tasks({.limit = 16}); }},
    {"mutex: lock and unlock", &mutex_pair},
    {"shared_mutex: lock and unlock for reading", &read_pair<runnel::shared_mutex>},
    {"shared_mutex: lock and unlock for writing", &write_pair},
    {"scalable_shared_mutex: lock and unlock for reading", &read_pair<runnel::scalable_shared_mutex>},
    {"semaphore: acquire and release", &semaphore_pair},
    {"rate_limiter::allow", [] { return allow(2 * steps + 1); }},
    {"rate_limiter::allow, refused", [] { return allow(1); }},
    {"single_flight::run, alone", &flight_alone},
    {"cache::get_or_load, there", &cache_hit},
    {"condition_variable: notify nobody", &notify_nobody},
    {"condition_variable: notify and wait, in turns", &take_turns},
    {"wait_group: add and done", &wait_group_pair},
    {"once::call, done", &once_done},
    {"latch: count down and wait", &latch_pair},
    {"event: set, wait and reset", &event_round},
    {"striped_counter::add", &count_striped},
    {"pool: get and give back", &pool_round},
    {"hazard_pointer: make, protect and drop", &protect},
    {"hazard_pointer: retire an object", &retire},
    {"lockfree::stack: push and pop", &stack_pair},
    {"concurrent_map::find", &map_find},
    {"concurrent_map: insert and erase", &map_insert_erase},
    {"mpmc_queue: push and pop", &many_to_many},
    {"spsc_queue: push and pop", &one_to_one},
    {"mpsc_queue: push and pop", &many_to_one},
    {"rcu: read section", &read_section},
    {"rcu cell: read", &read_cell},
    {"rcu cell: update", &update_cell},
    {"derive_cancel of the background, cancel", &derive_from_background},
    {"derive_cancel of a cancelable context, cancel", &derive_child},
    {"context::check", &check_context},
    {"checkpoint", &checkpoint},
    {"with_timeout around nothing", &timeout},
    {"timer: make and stop", &arm_and_stop},
};

}  // namespace

std::span<const operation> operations() noexcept { return all; }

}  // namespace budget
